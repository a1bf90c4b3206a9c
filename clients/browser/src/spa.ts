import type { Analytics } from './types';

/**
 * Calls `page` once per changed path and query, one task after the change so that the title is the new one, and when
 * the browser shows the page again from its back/forward cache.
 */
export const watchNavigation = (analytics: Analytics, left: (url: string) => void): void => {
  const here = (): string => location.href.replace(/#.*/, '');
  let seen = here();

  const look = (): void => {
    setTimeout(() => {
      if (seen === here()) return;
      left(seen);
      seen = here();
      void analytics.page();
    });
  };

  (['pushState', 'replaceState'] as const).forEach((method) => {
    const original = history[method];
    history[method] = (...args) => {
      original.apply(history, args);
      look();
    };
  });
  addEventListener('popstate', look);
  addEventListener('pageshow', ({ persisted }) => persisted && analytics.page());
};
