import type { Jar } from './cookies';
import type { Dict, Undecided } from './types';
import { attempt, parse, stringify } from './values';

const NAME = 'tabard_consent';
const OUT = 'out';

/** What the visitor decided, kept in a cookie so that it holds on every sub-domain: `out`, or the categories allowed. */
export const createConsent = (jar: Jar, undecided: Undecided | undefined) => {
  let inPage: string | null = null;

  const decision = (): string | null => jar.get(NAME) || inPage;

  return {
    decide: (categories?: Dict<boolean>): void => {
      inPage = categories ? stringify(categories) : OUT;
      jar.set(NAME, inPage);
    },
    categories: (): Dict | null | undefined => attempt(() => parse(decision()!) as Dict),
    /** Where identity may be kept now, and what happens to a call made now. */
    rule: (): Required<Omit<Undecided, 'gpc'>> => {
      const decided = decision();
      if (decided === OUT) return { storage: 'none', events: 'drop' };
      const gpc = undecided?.gpc !== false && (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl;
      return decided || !(undecided || gpc)
        ? { storage: 'all', events: 'send' }
        : { storage: 'none', events: 'hold', ...undecided };
    },
  };
};
