import type { Page } from './types';
import { attempt } from './values';

/** What a call needs to know of its moment: read when the site calls, not when the message is sent. */
export interface Moment {
  time: number;
  page: Page;
  /** The URL before, in a single-page application. */
  previousUrl?: string | undefined;
}

/** The moment in the short form that snippets append to a queued call (there marked by `__t: 'bpc'`). */
export interface Noted {
  /** href of the canonical link */ c?: string | null;
  /** pathname */ p: string;
  /** href */ u: string;
  /** search */ s: string;
  /** title */ t: string;
  /** referrer */ r: string;
  /** time, ms; only our own snippet gives it */ d?: number;
  /** takes what the call returns; only our own snippet gives it */ k?: (result: unknown) => void;
}

export const noteMoment = (): Noted => ({
  c: document.querySelector('link[rel=canonical]')?.getAttribute('href'),
  p: location.pathname,
  u: location.href,
  s: location.search,
  t: document.title,
  r: document.referrer,
});

/** `url` and `path` follow the canonical link, where the page has a valid one. */
export const momentOf = ({ c: canonical, p, u, s: search, t: title, r: referrer, d }: Noted): Moment => {
  const link = canonical && attempt(() => new URL(canonical, u));
  const url = link ? link.origin + link.pathname + (link.search || search) : u.replace(/#.*/, '');
  return { time: d || Date.now(), page: { path: link ? link.pathname : p, referrer, search, title, url } };
};
