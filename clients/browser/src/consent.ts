import type { Jar } from './cookies';
import type { Dict, Undecided } from './types';
import { attempt, parse, stringify } from './values';

const NAME = 'tabard_consent';
const OUT = 'out';

/**
 * What the visitor decided: `out`, or the categories allowed. Kept in a cookie, so that it holds on every sub-domain, and
 * in local storage, where a cookie that is gone comes back from. Each page renews both.
 */
export const createConsent = (jar: Jar, undecided: Undecided | undefined) => {
  let inPage = attempt(() => localStorage[NAME] as string);

  const decision = (): string | null | undefined => jar.read(NAME) || inPage;

  const keep = (decided: string): void => {
    jar.put(NAME, (inPage = decided));
    attempt(() => (localStorage[NAME] = decided));
  };

  const before = decision();
  if (before) keep(before);

  return {
    decide: (categories?: Dict<boolean>): void => keep(categories ? stringify(categories) : OUT),
    categories: (): Dict | null | undefined => attempt(() => parse(decision()!) as Dict),
    /** Where identity may be kept now (no storage: nowhere but in this page), and what happens to a call made now. */
    rule: (): Undecided => {
      const decided = decision();
      const gpc = undecided?.gpc !== false && (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl;
      return decided === OUT
        ? { events: 'drop' }
        : decided || !(undecided || gpc)
          ? { storage: 'all', events: 'send' }
          : { events: 'hold', ...undecided };
    },
  };
};

export type Consent = ReturnType<typeof createConsent>;
