import type { Jar } from './cookies';
import { attempt, parse, stringify } from './values';

/** Where values may be kept: nowhere but in this page, in this tab, or in cookies and local storage. */
export type Reach = 'none' | 'session' | 'all';

const AREAS: { [reach in Reach]?: 'sessionStorage' | 'localStorage' } = { session: 'sessionStorage', all: 'localStorage' };

/**
 * Values by name, kept as widely as the visitor and the browser allow. What storage refuses (denied, full)
 * stays in this page's memory, so a value once set is always read back. The reach is asked at each access: the visitor
 * may decide in another tab.
 */
export const createStore = (jar: Jar, reach: () => Reach) => {
  const memory = new Map<string, string>();

  /** Throws where there is none or the browser denies it. */
  const area = (): Storage => window[AREAS[reach()]!];

  /** As it was stored by whoever: the reader checks the shape. */
  const local = (name: string): unknown => {
    const text = memory.get(name) ?? attempt(() => area()[name] as string);
    const parsed = attempt(() => [parse(text!)]);
    // Older clients wrote bare strings here; all wrote null for what is not known.
    return parsed ? parsed[0] : text ?? null;
  };

  /** Null removes. What cannot be JSON changes nothing. */
  const setLocal = (name: string, value: unknown): void => {
    attempt(() => {
      memory.set(name, stringify(value));
      if (value === null) delete area()[name];
      else area()[name] = memory.get(name);
      memory.delete(name);
    });
  };

  const cookie = (name: string): string | null => (reach() === 'all' ? jar.get(name) : null);

  const setCookie = (name: string, value: string | null): void => {
    if (reach() === 'all' && jar.get(name) !== value) jar.set(name, value);
  };

  return {
    local,
    setLocal,
    cookie,
    setCookie,
    jar,
    /** Removes the named values from wherever they may be, whatever the reach is now. */
    erase: (names: string[]): void =>
      names.forEach((name) => {
        memory.delete(name);
        attempt(() => delete localStorage[name]);
        attempt(() => delete sessionStorage[name]);
        jar.set(name, null);
      }),
    /** Takes the named values along over a change of the reach; `shared` ones go into cookies too. */
    carry: (names: string[], shared: string[], change: () => void): void => {
      const values = names.map(local) as string[];
      change();
      names.forEach((name, at) => {
        const value = values[at]!;
        attempt(() => delete sessionStorage[name]);
        if (value === null && !memory.has(name)) return;
        setLocal(name, value);
        if (shared.includes(name)) setCookie(name, value);
      });
    },
  };
};

export type Store = ReturnType<typeof createStore>;
