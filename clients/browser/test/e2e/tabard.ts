/** A real Tabard on the embedded drivers, in a folder of its own. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const OURS = join(import.meta.dirname, '../../../../.venv/bin/tabard');

export interface Tabard {
  collectorUrl: string;
  writeKey: string;
  /** Adds a browser source with these load options; its write key. */
  addSource: (options: object) => Promise<string>;
  stop: () => Promise<void>;
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
};

/**
 * Starts the server that `E2E_TABARD` names (default: that of this checkout), with one source of a browser's trust. The
 * name has no TABARD_ in front: the server takes such a variable for a setting of its own and refuses it.
 */
export const startTabard = async (): Promise<Tabard> => {
  const bin = process.env.E2E_TABARD ?? OURS;
  if (!existsSync(bin)) throw new Error(`no server at ${bin}: run make setup, or set E2E_TABARD`);
  const data = mkdtempSync(join(tmpdir(), 'tabard-browser-'));
  const [collect, web] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const server = spawn(bin, ['serve', '--data', data, '--collect', collect, '--web', web, '--log-level', 'ERROR'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const stopped = new Promise<void>((resolve) => server.on('exit', () => resolve()));
  const collectorUrl = `http://${collect}`;
  const untilAnswers = async (path: string): Promise<void> => {
    for (const end = Date.now() + 20_000; !(await answers(collectorUrl + path)); ) {
      if (server.exitCode !== null || Date.now() > end) throw new Error(`the server does not answer ${path}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  await untilAnswers('/health');
  let sources = 0;
  const addSource = async (options: object): Promise<string> => {
    const words = ['source', 'add', `shop${sources++}`, '--kind', 'browser', '--allow-alias', '--browser-options', JSON.stringify(options)];
    const { stdout } = await run(bin, [...words, '--data', data, '--json']);
    return (JSON.parse(stdout) as { writeKey: string }).writeKey;
  };
  const writeKey = await addSource({});
  // The collector learns of a new source within seconds.
  await untilAnswers(`/v1/projects/${writeKey}/settings`);
  return {
    collectorUrl,
    writeKey,
    addSource,
    stop: async () => {
      server.kill('SIGTERM');
      await stopped;
      rmSync(data, { recursive: true, force: true });
    },
  };
};
