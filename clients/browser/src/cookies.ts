import type { LoadOptions } from './types';
import { attempt, parse } from './values';

export interface Jar {
  read(name: string): string | null;
  /** Null erases. */
  put(name: string, value: string | null): void;
  /** The domain the cookies are written for, with its leading dot; '' for a cookie of this host alone. */
  widest(): string;
}

/** All cookies as they were read in this task; a read is slow and one call asks for many. */
let known: string | undefined;

/** Has the cookies read anew: a call of the site starts, after what it may have done itself, or one was written. */
export const forgetCookies = (): void => {
  known = undefined;
};

const allCookies = (): string => {
  if (known === undefined) queueMicrotask(forgetCookies);
  return (known ??= document.cookie);
};

const find = (name: string): string | null => {
  const text = attempt(() => {
    const rest = ('; ' + allCookies()).split(`; ${name}=`)[1];
    return rest && decodeURIComponent(rest.split(';')[0]!);
  });
  // Some peers write JSON. Digits are left alone: a long number would lose its end.
  return (/^("|null$)/.test(text!) ? attempt(() => parse(text!) as string) : text) || null;
};

const write = (name: string, value: string | null, attributes: string): void => {
  attempt(() => (document.cookie = `${name}=${encodeURIComponent(value || '')};${attributes}` + (value ? '' : ';max-age=0')));
  forgetCookies();
};

/** The widest parent of this host for which the browser takes a cookie; '' where it takes none, as for an IP address. */
const widestDomain = (): string => {
  const labels = location.hostname.split('.');
  // Of shop.example.com: .example.com, then .shop.example.com.
  for (let domain = '.' + labels.pop(), found; labels[0]; ) {
    domain = '.' + labels.pop() + domain;
    write('__tld__', '1', 'domain=' + domain);
    found = find('__tld__');
    write('__tld__', null, 'domain=' + domain);
    if (found) return domain;
  }
  return '';
};

/** Cookies of the widest accepted domain: path /, Lax, one year, Secure on https, unless the site says otherwise. */
export const cookieJar = ({
  domain,
  maxage = 365,
  path = '/',
  sameSite = 'Lax',
  secure = /^https/.test(location.href),
}: LoadOptions['cookie'] = {}): Jar => {
  const widest = (): string => (domain ??= widestDomain());
  return {
    read: find,
    put: (name, value) => {
      // One for this host alone, as a server may set, would stand beside ours and be read in its place.
      write(name, null, 'path=' + path);
      write(
        name,
        value,
        `path=${path};samesite=${sameSite};max-age=${maxage * 86400}` +
          (widest() && ';domain=' + domain) +
          (secure ? ';secure' : ''),
      );
    },
    widest,
  };
};
