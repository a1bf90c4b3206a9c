import type { LoadOptions } from './types';
import { attempt, parse } from './values';

export interface Jar {
  get(name: string): string | null;
  /** Null erases. */
  set(name: string, value: string | null): void;
  /** The domain the cookies are written for, with its leading dot; '' for a cookie of this host alone. */
  widest(): string;
}

const find = (name: string): string | null => {
  const text = attempt(() => {
    const rest = ('; ' + document.cookie).split(`; ${name}=`)[1];
    return rest && decodeURIComponent(rest.split(';')[0]!);
  });
  // Some peers write JSON. Digits are left alone: a long number would lose its end.
  return (/^("|null$)/.test(text!) ? attempt(() => parse(text!) as string) : text) || null;
};

const write = (name: string, value: string | null, attributes: string): void => {
  attempt(() => (document.cookie = `${name}=${encodeURIComponent(value || '')};${attributes}${value ? '' : ';max-age=0'}`));
};

/** The widest parent of this host for which the browser takes a cookie; '' where it takes none, as for an IP address. */
const widestDomain = (): string => {
  const labels = location.hostname.split('.');
  // Of shop.example.com: .example.com, then .shop.example.com.
  const domains = labels.map((_, at) => '.' + labels.slice(-1 - at).join('.')).slice(1);
  const taken = domains.find((domain) => {
    write('__tld__', '1', 'domain=' + domain);
    const found = find('__tld__');
    write('__tld__', null, 'domain=' + domain);
    return found;
  });
  return taken || '';
};

/** Cookies of the widest accepted domain: path /, Lax, one year, Secure on https, unless the site says otherwise. */
export const cookieJar = (options: NonNullable<LoadOptions['cookie']>): Jar => {
  const { maxage = 365, path = '/', sameSite = 'Lax', secure = location.protocol === 'https:' } = options;
  let { domain } = options;
  const widest = (): string => (domain ??= widestDomain());
  return {
    get: find,
    set: (name, value) =>
      write(
        name,
        value,
        `path=${path};samesite=${sameSite};max-age=${maxage * 86400}` +
          (widest() && ';domain=' + domain) +
          (secure ? ';secure' : ''),
      ),
    widest,
  };
};
