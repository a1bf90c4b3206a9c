import type { Jar } from './cookies';
import type { Dict } from './types';
import { attempt, parse, stringify } from './values';

/** Where values may be kept: nowhere but in this page, in this tab, or in cookies and local storage. */
export type Reach = 'none' | 'session' | 'all' | false | undefined;

/**
 * Values by name, kept as widely as the visitor and the browser allow. What storage refuses (denied, full)
 * stays in this page's memory, so a value once set is always read back. The reach is asked at each access: the visitor
 * may decide in another tab.
 */
export const createStore = (jar: Jar, reach: () => Reach) => {
  const memory: Dict<string> = {};

  /** Throws where there is none or the browser denies it. */
  const area = (): Storage => window[((reach() === 'all' ? 'local' : reach()) + 'Storage') as 'localStorage'];

  /** As it was stored by whoever: the reader checks the shape. */
  const local = (name: string): unknown => {
    const text = memory[name] ?? attempt(() => area()[name] as string);
    try {
      return parse(text!);
    } catch {
      // Older clients wrote bare strings here; all wrote null for what is not known.
      return text ?? null;
    }
  };

  /** Null removes. What cannot be JSON changes nothing. */
  const setLocal = (name: string, value: unknown): void => {
    attempt(() => {
      memory[name] = stringify(value);
      if (value === null) delete area()[name];
      else area()[name] = memory[name]!;
      delete memory[name];
    });
  };

  const readCookie = (name: string): string | null => (reach() === 'all' ? jar.read(name) : null);

  const setCookie = (name: string, value: string | null): void => {
    if (reach() === 'all' && jar.read(name) !== value) jar.put(name, value);
  };

  return {
    local,
    setLocal,
    readCookie,
    setCookie,
    jar,
    /** Removes the named values from wherever they may be, whatever the reach is now. */
    erase: (names: string[]): void =>
      names.forEach((name) => {
        delete memory[name];
        attempt(() => delete localStorage[name]);
        attempt(() => delete sessionStorage[name]);
        jar.put(name, null);
      }),
    /** Takes the named values along over a change of the reach; `shared` ones go into cookies too. */
    carry: (names: string[], shared: string[], change: () => void): void => {
      const values = names.map(local) as string[];
      change();
      names.forEach((name, at) => {
        const value = values[at]!;
        attempt(() => delete sessionStorage[name]);
        if (value === null && !memory[name]) return;
        setLocal(name, value);
        if (shared.includes(name)) setCookie(name, value);
      });
    },
  };
};

export type Store = ReturnType<typeof createStore>;
