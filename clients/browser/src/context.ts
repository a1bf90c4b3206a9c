import { AD_REFERRER } from './identity';
import type { Store } from './store';
import type { Dict, LoadOptions, Page } from './types';
import { attempt, parametersOf, parse, stringify } from './values';
import { VERSION } from './version';

/** utm_* as a campaign; `utm_campaign` becomes `name`. Undefined where the page has no query. */
export const campaignOf = (search: string, clickIds?: readonly string[]): Dict | undefined => {
  const { campaign: name, ...utm } = parametersOf(search, 'utm_');
  const all = parametersOf(search, '');
  const clicks = clickIds && Object.fromEntries(clickIds.map((id) => [id, all[id]]));
  return search ? { name, ...utm, clickIds: clicks } : undefined;
};

/** The ad network that led here, remembered while its cookie lives. */
const adReferrer = (search: string, { cookie, setCookie }: Store): Dict | undefined => {
  const { btid, urid } = parametersOf(search, '');
  const id = btid || urid;
  const found = id ? stringify({ id, type: btid ? 'dataxu' : 'millennial-media' }) : cookie(AD_REFERRER);
  setCookie(AD_REFERRER, found);
  return attempt(() => parse(found || '') as Dict);
};

/** Asked once: the answer is slow to come. */
let timezone: string;

/** What the browser tells of itself and its page. Keys without a value vanish when the message is frozen. */
export const contextOf = (page: Page, store: Store, { clickIds }: LoadOptions): Dict => {
  const { width, height } = screen;
  return {
    page,
    userAgent: navigator.userAgent,
    userAgentData: (navigator as { userAgentData?: unknown }).userAgentData,
    locale: navigator.language,
    timezone: (timezone ||= Intl.DateTimeFormat().resolvedOptions().timeZone),
    screen: { width, height },
    library: { name: 'tabard.js', version: VERSION },
    campaign: campaignOf(page.search, clickIds),
    referrer: adReferrer(page.search, store),
  };
};
