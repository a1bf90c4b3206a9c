/**
 * Builds everything that is published: the served script and the snippet (package data of the server), and the npm
 * package in dist/. Fails where a budget is exceeded.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { constants, createBrotliCompress, deflateRawSync, gzipSync, inflateRawSync } from 'node:zlib';
import zopfli from '@gfx/zopfli';
import { build } from 'esbuild';
import { minify } from 'terser';

const BUDGET_GZIP_BYTES = { script: 6000, snippet: 700 };

/** Names of members that only this code uses; everything else is API, storage, wire format or the browser's. */
const INTERNAL_MEMBERS =
  /^(local|setLocal|readCookie|setCookie|erase|carry|jar|read|put|widest|decide|rule|categories|pass|addMiddleware|addPlugin|leavesOut|settled|saved|take|refuse|clear|queueKey)$/;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const assets = join(root, '../../src/tabard/collector/browser_assets');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const define = { TABARD_VERSION: JSON.stringify(version) };

const bundle = async (entry, options) => {
  const result = await build({
    entryPoints: [join(root, 'src', entry)],
    bundle: true,
    write: false,
    target: 'es2020',
    format: 'esm',
    define,
    ...options,
  });
  return result.outputFiles[0].text;
};

const shrink = async (code, expression) => {
  const compress = { expression, passes: 4, unsafe: true, unsafe_arrows: true, unsafe_comps: true, pure_getters: true, keep_fargs: false };
  const mangle = { properties: { regex: INTERNAL_MEMBERS } };
  const result = await minify(code, { ecma: 2020, compress, mangle, format: { comments: false, wrap_func_args: false } });
  return result.code.replace(/;$/, '');
};

/** What the collector appends for a source with a key of 20 characters and no load options. */
const CALL = `({"writeKey":"0e1d2c3b4a5968778695"});`;

/** A block of deflate that ends the stream and holds nothing (RFC 1951, fixed codes). */
const DEFLATE_END = [3, 0];

/**
 * Deflate data without its end, closed at a byte's border: the collector appends a source's call as the last block
 * (browser_assets/__init__.py). Zopfli searches longer than zlib does; what it finds any browser reads.
 */
const openDeflate = async (code) => {
  const data = Buffer.from(await zopfli.deflateAsync(Buffer.from(code), { numiterations: 100, blocksplitting: false }));
  // Of its one block the first bit says that it is the last one.
  data[0] &= ~1;
  // An empty stored block fills up to a byte's border. Whether its three bits still fit into the last byte, only a reader can tell.
  for (const fill of [[0, 0, 255, 255], [0, 0, 0, 255, 255]])
    try {
      const open = Buffer.from([...data, ...fill]);
      if (inflateRawSync(Buffer.from([...open, ...DEFLATE_END])).toString() === code) return open;
    } catch {
      // Not this one.
    }
  throw new Error('the compressed script does not unpack to itself');
};

/** The served gzip file: header and trailer of 18 bytes, the script, and the call, which may refer to the script's text. */
const servedGzipBytes = (deflated, code) =>
  18 + deflated.length + deflateRawSync(CALL, { level: 9, memLevel: 9, dictionary: Buffer.from(code) }).length;

/**
 * Brotli data without its end: the collector appends a source's settings as an uncompressed block and ends the stream
 * (browser_assets/__init__.py), so nothing is compressed per source.
 */
const openBrotli = (code) =>
  new Promise((resolve, reject) => {
    const stream = createBrotliCompress({
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT },
    });
    const chunks = [];
    stream.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
    stream.write(code);
    stream.flush(constants.BROTLI_OPERATION_FLUSH, () => resolve(Buffer.concat(chunks)));
  });

const sri = (code) => `sha384-${createHash('sha384').update(code).digest('base64')}`;

/** The fingerprint of all the build is made from: the server's tests compare it, so a stale build is found without Node. */
const sourceHash = () => {
  const hash = createHash('sha256');
  const within = ['src', 'build'].flatMap((folder) => readdirSync(join(root, folder)).sort().map((name) => join(folder, name)));
  for (const name of [...within, 'package.json', 'package-lock.json']) hash.update(name).update(readFileSync(join(root, name)));
  return hash.digest('hex');
};

const check = (what, bytes) => {
  console.log(`${what}: ${bytes} bytes gzip (budget ${BUDGET_GZIP_BYTES[what]})`);
  if (bytes > BUDGET_GZIP_BYTES[what]) throw new Error(`the ${what} is over its budget`);
};

/** All types in one file: it needs no specifiers, so it holds under every module resolution. */
const declarations = () => {
  const folder = mkdtempSync(join(tmpdir(), 'tabard-types-'));
  try {
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(root, 'build/declarations.json'), '--outDir', folder], { stdio: 'inherit' });
    const text = ['types', 'version', 'index'].map((name) => readFileSync(join(folder, `${name}.d.ts`), 'utf8')).join('\n');
    const whole = text.replace(/^(import .*|export type \* from .*|export \{ VERSION \};)\n/gm, '');
    if (/\bfrom '/.test(whole)) throw new Error('index.d.ts names another file');
    return whole;
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const main = async () => {
  // One function expression; whoever serves it appends the call: `(settings)`.
  const code = await bundle('script.ts', { minifySyntax: true });
  const script = `(${await shrink(`(SETTINGS=>{${code}})`, true)})`;
  const snippet = (await shrink(await bundle('snippet.ts', { bundle: false }), false)) + ';';
  const deflated = await openDeflate(script);
  const bytes = { script: servedGzipBytes(deflated, script), snippet: gzipSync(snippet, { level: 9, memLevel: 9 }).length };
  for (const what in bytes) check(what, bytes[what]);

  mkdirSync(assets, { recursive: true });
  const immutable = script + '();';
  const manifest = {
    version,
    sources: sourceHash(),
    hash: createHash('sha256').update(immutable).digest('hex').slice(0, 32),
    integrity: sri(immutable),
    gzip_bytes: bytes,
  };
  writeFileSync(join(assets, 'analytics.min.js'), script);
  writeFileSync(join(assets, 'analytics.min.js.deflate'), deflated);
  writeFileSync(join(assets, 'analytics.min.js.br'), await openBrotli(script));
  writeFileSync(join(assets, 'snippet.js'), snippet);
  writeFileSync(join(assets, 'manifest.json'), JSON.stringify(manifest, null, 2) + '\n');

  const dist = join(root, 'dist');
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist);
  writeFileSync(join(dist, 'index.js'), await bundle('index.ts'));
  writeFileSync(join(dist, 'index.d.ts'), declarations());
};

await main();
