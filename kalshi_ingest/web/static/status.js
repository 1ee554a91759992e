// Renews each part marked `data-live` where it stands: place, folds and choice stay as the reader left them.
(() => {
  const focused = () => document.activeElement;
  async function renew() {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.pathname + location.search, {cache: 'no-store'});
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const old of document.querySelectorAll('[data-live]')) {
        const next = fresh.getElementById(old.id);
        if (!next || (old.contains(focused()) && focused().matches('select'))) continue;
        for (const fold of old.querySelectorAll('details[id]')) {
          const same = next.querySelector('#' + CSS.escape(fold.id));
          if (same) same.open = fold.open;
        }
        if (old.outerHTML === next.outerHTML) continue;
        const kept = old.contains(focused()) && focused().id;
        old.replaceWith(next);
        if (kept) document.getElementById(kept)?.focus({preventScroll: true});
      }
      document.title = fresh.title;
      document.body.classList.remove('away');
    } catch {
      document.body.classList.add('away');
    }
  }
  setInterval(renew, 10000);
  document.addEventListener('visibilitychange', renew);
  document.addEventListener('change', event => {
    if (event.target.form?.id === 'choose') event.target.form.submit();
  });
})();
