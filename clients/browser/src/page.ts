import type { Page } from './types';
import { attempt } from './values';

/** What a call needs to know of its moment: read when the site calls, not when the message is sent. */
export type Moment = readonly [time: number, page: Page, previousUrl: string | undefined];

/** The moment in the short form that snippets append to a queued call (there marked by `__t: 'bpc'`). */
export interface Noted {
  /** href of the canonical link */ c?: string | null;
  /** href */ u: string;
  /** title */ t: string;
  /** referrer */ r: string;
  /** time, ms; only our own snippet gives it */ d?: number;
  /** takes what the call returns; only our own snippet gives it */ k?: (result: unknown) => void;
}

export const noteMoment = (): Noted => ({
  c: document.querySelector<HTMLLinkElement>('link[rel=canonical]')?.href,
  u: location.href,
  t: document.title,
  r: document.referrer,
});

/**
 * `url` and `path` follow the canonical link, where the page has a valid one; the URL before is that of a single-page
 * application.
 */
export const momentOf = ({ c: canonical, u, t: title, r: referrer, d }: Noted, previousUrl?: string): Moment => {
  const here = new URL(u);
  const { search } = here;
  const link = attempt(() => new URL(canonical || '', u)) || here;
  link.hash = '';
  link.search ||= search;
  return [d || Date.now(), { path: link.pathname, referrer, search, title, url: link.href }, previousUrl];
};
