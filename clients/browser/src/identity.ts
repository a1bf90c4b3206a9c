/**
 * Who is on this page. Read anew at every call, because another tab or a sibling sub-domain may have changed it.
 * Names and shapes are those of the analytics.js family, so a site can switch either way and keep its visitors.
 *
 * The cookies are the truth between sub-domains. Where they are, local storage that knows another id, or an id whose
 * cookie is gone (logged out elsewhere), is stale and forgotten with all that goes with the id. Where the cookie of the
 * anonymous id is missing, all were lost and are restored from local storage.
 */
import type { Store } from './store';
import type { Dict, Group, LoadOptions, User } from './types';
import { asId, dict, uuid } from './values';

const ANONYMOUS_ID = 'ajs_anonymous_id';
const USER_ID = 'ajs_user_id';
const GROUP_ID = 'ajs_group_id';
const TRAITS = 'ajs_user_traits';
const GROUP_TRAITS = 'ajs_group_properties';
/** The day of the last renewal of the cookies. */
const REFRESHED = 'tabard_day';
/** The last identify the server took: `[what it said, when it began]`; as a cookie when the latest one began. */
export const SENT = 'tabard_sent';
/** The number of identify calls that were left out. */
export const SAVED = 'tabard_saved';

/** As the family's cookie library spells `s:context.referrer`. */
export const AD_REFERRER = 's%3Acontext.referrer';

/** What cookies hold. */
export const IDS = [ANONYMOUS_ID, USER_ID, GROUP_ID];
/** All that is known of the visitor, the anonymous id first. */
export const NAMES = [...IDS, TRAITS, GROUP_TRAITS, SENT, SAVED, REFRESHED, AD_REFERRER];

/** Each id with what is forgotten along with it. */
const OWNED = [NAMES, [USER_ID, TRAITS, SENT], [GROUP_ID, GROUP_TRAITS]];

export const createIdentity = (store: Store, options: LoadOptions, endpoint: string) => {
  const { local, setLocal, readCookie, setCookie, jar } = store;

  const forget = (names: string[]): void => names.forEach((name) => setLocal(name, null));

  const get = (name: string): string | null => {
    const anonymous = readCookie(ANONYMOUS_ID);
    OWNED.forEach((names) => {
      const id = names[0]!;
      const told = readCookie(id);
      const known = asId(local(id));
      if (known === told) return;
      if (anonymous && known) forget(names);
      if (told) setLocal(id, told);
      else if (!anonymous) setCookie(id, known);
    });
    return asId(local(name));
  };

  let timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * In Safari cookies set by a script live seven days, those set by a server of the same site a year. So the collector
   * is asked, once for all that changed in one tick, to set the identity cookies it is sent once more. What changed
   * meanwhile is put right afterwards. A collector of another site is sent no cookies and sets none.
   */
  const changed = (): void => {
    if (!options.idCookie || !readCookie(ANONYMOUS_ID)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const repair = (): void => IDS.forEach((name) => setCookie(name, asId(local(name))));
      const request: RequestInit = { method: 'POST', body: jar.widest(), mode: 'no-cors', credentials: 'include' };
      fetch(endpoint + '/id', request).then(repair, repair);
    });
  };

  const set = (name: string, value: string | null): void => {
    if (get(name) === value) return;
    setLocal(name, value);
    setCookie(name, value);
    changed();
  };

  const entity = (idName: string, traitsName: string, replaced?: () => void) => {
    const id = (value?: unknown): string | null => {
      const before = get(idName);
      if (value !== undefined) {
        const next = asId(value);
        if (before && next && before !== next) replaced?.();
        set(idName, next);
      }
      return get(idName);
    };
    const traits = (value?: Dict | null): Dict => {
      if (value !== undefined) setLocal(traitsName, value);
      return dict(local(traitsName));
    };
    const logout = (): void => {
      set(idName, null);
      forget([traitsName, SENT]);
    };
    return {
      id,
      traits,
      /** Adds traits to those of the same (or a not yet known) id; another id starts afresh. */
      identify: (value?: unknown, given?: Dict | null): void => {
        const before = id();
        const next = asId(value) || before;
        const kept = (!before || before === next) && traits();
        id(next);
        traits({ ...kept, ...given });
      },
      logout,
      reset: logout,
    };
  };

  const mint = (): void => set(ANONYMOUS_ID, uuid());

  const user: User = {
    // Another person: what was done under the old anonymous id was not theirs.
    ...entity(USER_ID, TRAITS, mint),
    anonymousId: (value) => {
      if (value !== undefined) set(ANONYMOUS_ID, asId(value));
      else if (!get(ANONYMOUS_ID)) mint();
      return get(ANONYMOUS_ID);
    },
    reset: () => {
      user.logout();
      // At once, not at the next message: siblings see by the new id that their own copy is stale.
      mint();
    },
  };

  const group: Group = entity(GROUP_ID, GROUP_TRAITS);

  /** Once a day, renews the cookies' year. */
  const refresh = (): void => {
    const today = Math.floor(Date.now() / 864e5);
    if (local(REFRESHED) === today) return;
    setLocal(REFRESHED, today);
    IDS.forEach((name) => readCookie(name) && jar.put(name, readCookie(name)));
    changed();
  };

  return [user, group, refresh] as const;
};
