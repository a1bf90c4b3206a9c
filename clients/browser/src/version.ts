/** Put in by the build from package.json. */
declare const TABARD_VERSION: string;

export const VERSION = TABARD_VERSION;
