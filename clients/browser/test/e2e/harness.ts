/**
 * One chromium and one recorder for a test file; a fresh browser context (cookies, storage) for each test, which is a
 * private window: what the tests hold, private mode holds.
 */
import { after, before, beforeEach, test } from 'node:test';
import { existsSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { Recorder } from './recorder';
import { startTabard, type Tabard } from './tabard';

const CHROMIUM = process.env.E2E_CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1',
];

export interface World {
  context: BrowserContext;
  page: Page;
  recorder: Recorder;
  tabard: Tabard;
  /** Console lines of all pages of this test. */
  lines: string[];
}

let browser: Browser;
let tabard: Tabard;
let recorder: Recorder;

/** Starts what all tests of a file share: chromium, a real Tabard, and the recorder that stands before it. */
export const setUp = (): void => {
  before(async () => {
    if (!existsSync(CHROMIUM)) throw new Error(`no chromium at ${CHROMIUM}: apt-get install chromium, or set E2E_CHROMIUM`);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    tabard = await startTabard();
    recorder = await new Recorder(tabard.collectorUrl, tabard.writeKey, tabard.addSource).start();
  });
  after(async () => {
    await browser?.close();
    recorder?.stop();
    await tabard?.stop();
  });
  beforeEach(() => recorder.reset());
};

export const inBrowser = (behaviour: string, run: (world: World) => Promise<void>): void => {
  test(behaviour, { timeout: 30_000 }, async () => {
    const context = await browser.newContext({ locale: 'de-CH', timezoneId: 'Europe/Zurich' });
    context.setDefaultTimeout(5_000);
    const lines: string[] = [];
    const watch = (page: Page): void => {
      page.on('console', (line) => lines.push(`${line.type()}: ${line.text()}`));
      page.on('pageerror', (error) => lines.push(`error: ${error.message}`));
    };
    context.on('page', watch);
    const page = await context.newPage();
    try {
      await run({ context, page, recorder, tabard, lines });
    } catch (error) {
      if (lines.length) console.error(`console of "${behaviour}":\n${lines.join('\n')}`);
      throw error;
    } finally {
      await context.close();
    }
  });
};

export const cookiesOf = async (context: BrowserContext): Promise<Record<string, string>> =>
  Object.fromEntries((await context.cookies()).map(({ name, value }) => [name, decodeURIComponent(value)]));

/**
 * Runs code that leaves the page, and waits for the next one. The code runs a moment later, since an evaluation that
 * itself leaves its page may never return; nor may the closing of a context in the midst of a navigation.
 */
export const leave = async (page: Page, code: string): Promise<void> => {
  const next = page.waitForEvent('load');
  await page.evaluate(`void setTimeout(() => { ${code} })`);
  await next;
};

/** Opens chromium with a profile that outlives it, as no private window does. */
export const withProfile = async (folder: string, visit: (page: Page) => Promise<void>): Promise<void> => {
  const context = await chromium.launchPersistentContext(folder, { executablePath: CHROMIUM, args: FLAGS });
  try {
    await visit(await context.newPage());
  } finally {
    await context.close();
  }
};

/** Evaluates in the page where `tabard` is the started client. */
export const started = (page: Page): Promise<unknown> => page.waitForFunction('window.tabard && window.tabard.initialized');
