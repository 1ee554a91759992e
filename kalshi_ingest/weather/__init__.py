"""The weather beside the markets: official maxima that settle them, minute observations, the one-minute grid."""
