import { AD_REFERRER } from './identity';
import type { Store } from './store';
import type { Dict, LoadOptions, Page } from './types';
import { attempt, parametersOf, parse, stringify } from './values';
import { VERSION } from './version';

/** utm_* as a campaign; `utm_campaign` becomes `name`. Undefined where the page has no query. */
export const campaignOf = (search: string, query: Dict<string>, clickIds?: readonly string[]): Dict | undefined => {
  const { campaign: name, ...utm } = parametersOf(search, 'utm_');
  return search ? { name, ...utm, clickIds: clickIds && Object.fromEntries(clickIds.map((id) => [id, query[id]])) } : undefined;
};

/** The ad network that led here, remembered while its cookie lives. */
const adReferrer = ({ btid, urid }: Dict<string>, { readCookie, setCookie }: Store): Dict | undefined => {
  const id = btid || urid;
  const found = id ? stringify({ id, type: btid ? 'dataxu' : 'millennial-media' }) : readCookie(AD_REFERRER);
  setCookie(AD_REFERRER, found);
  return attempt(() => parse(found!) as Dict) || undefined;
};

/** Asked once: the answer is slow to come. */
let timezone: string;

/** What the browser tells of itself and its page. Keys without a value vanish when the message is frozen. */
export const contextOf = (page: Page, store: Store, { clickIds }: LoadOptions): Dict => {
  const { width, height } = screen;
  const query = parametersOf(page.search, '');
  const id = store.readCookie('_ga');
  return {
    page,
    userAgent: navigator.userAgent,
    userAgentData: (navigator as { userAgentData?: unknown }).userAgentData,
    locale: navigator.language,
    timezone: (timezone ||= Intl.DateTimeFormat().resolvedOptions().timeZone),
    screen: { width, height },
    library: { name: 'tabard.js', version: VERSION },
    campaign: campaignOf(page.search, query, clickIds),
    referrer: adReferrer(query, store),
    // Pages of the AMP cache name their visitor in that cookie.
    amp: /^amp/.test(id!) ? { id } : undefined,
  };
};
