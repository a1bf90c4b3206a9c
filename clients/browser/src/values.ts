import type { Dict } from './types';

export const isString = (value: unknown): value is string => typeof value === 'string';

export const isFunction = (value: unknown): value is (...args: never[]) => unknown => typeof value === 'function';

/** Class instances pass, arrays and dates do not: the test the analytics.js family uses. */
export const isPlainObject = (value: unknown): value is Dict => ({}).toString.call(value) === '[object Object]';

/** The value, or an empty object in place of one of another shape. */
export const dict = (value: unknown): Dict => (isPlainObject(value) ? value : {});

/** The id as text, or null for anything that is no id. */
export const asId = (value: unknown): string | null =>
  isString(value) || Number.isFinite(value) ? `${value}` || null : null;

/** A version 4 UUID; on plain http pages, where `crypto.randomUUID` is absent, the one in an object URL's name. */
export const uuid = (): string => crypto.randomUUID?.() || URL.createObjectURL(new Blob()).slice(-36);

/** The result, or undefined where the browser denies it (storage, cookies) or the text is not what it should be. */
export const attempt = <T>(action: () => T): T | undefined => {
  try {
    return action();
  } catch {
    // The answer is: nothing.
  }
};

/** The parameters whose names start with the prefix, without it. */
export const parametersOf = (search: string, prefix: string): Dict<string> => {
  const found: Dict<string> = {};
  new URLSearchParams(search).forEach((value, key) => {
    if (key.startsWith(prefix)) found[key.slice(prefix.length)] = value;
  });
  return found;
};

export const { parse, stringify } = JSON;

/** A copy of its own, as it goes over the wire. Throws for what cannot be JSON. */
export const copy = <T>(value: T): T => parse(stringify(value));

let warned = false;

/** One console line per page, never an exception in the site's code. */
export const warnOnce = (...parts: unknown[]): void => {
  if (!warned) console.warn('[tabard]', ...parts);
  warned = true;
};
