import type { Jar } from './cookies';
import { attempt } from './values';

/** Where values may be kept: nowhere but in this page, in this tab, or in cookies and local storage. */
export type Reach = 'none' | 'session' | 'all';

const AREAS = { none: () => undefined, session: () => sessionStorage, all: () => localStorage };

/**
 * Values by name, kept as widely as the visitor and the browser allow. What storage refuses (denied, full)
 * stays in this page's memory, so a value once set is always read back. The reach is asked at each access: the visitor
 * may decide in another tab.
 */
export const createStore = (jar: Jar, reach: () => Reach) => {
  const memory = new Map<string, unknown>();

  const local = <T>(name: string): T | null => {
    if (memory.has(name)) return memory.get(name) as T;
    const text = attempt(() => AREAS[reach()]()!.getItem(name));
    // Older clients wrote bare strings here.
    return text ? ((attempt(() => JSON.parse(text)) ?? text) as T) : null;
  };

  /** Null removes. */
  const setLocal = (name: string, value: unknown): void => {
    memory.set(name, value);
    attempt(() => {
      const area = AREAS[reach()]()!;
      if (value === null) area.removeItem(name);
      else area.setItem(name, JSON.stringify(value));
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
    /** Takes the named values along over a change of the reach; `shared` ones go into cookies too. */
    carry: (names: string[], shared: string[], change: () => void): void => {
      const values = names.map((name) => local<string>(name));
      change();
      names.forEach((name, at) => {
        const value = values[at]!;
        if (value === null && !memory.has(name)) return;
        setLocal(name, value);
        if (shared.includes(name)) setCookie(name, value);
      });
    },
  };
};

export type Store = ReturnType<typeof createStore>;
