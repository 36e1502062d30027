/**
 * Builds @tensorflow/tfjs-node-gpu against the libtensorflow of a PyPI wheel, for the `tensorflow` engine and the trainer:
 *
 *   node deploy/setup-tensorflow.mjs [--gpu] [--force]
 *
 * The result lies in a folder of the user, which `npm ci` leaves alone, and appears there whole or not at all. Nothing is done when it is there already.
 * Networks: the npm registry and PyPI, as npm and pip are configured. CUDA itself (12.5 or newer 12, cuDNN 9) is the system's business.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TENSORFLOW = '2.21.0';
const PACKAGES = ['@tensorflow/tfjs-node-gpu@4.22.0', 'node-api-headers@1.9.0'];
/** The wheel's Python does not matter: only its libraries and headers are used. `download` and `space` in GB. */
const WHEELS = {
  'cpu x64': { name: 'tensorflow-cpu', machine: 'x86_64', sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c', download: 0.3, space: 2 },
  'cpu arm64': { name: 'tensorflow', machine: 'aarch64', sha256: '4b24aca16d527a3cf1c37f720c04c484c3d20f4d0fdfa98632ac8b9f3be6eb5c', download: 0.3, space: 2 },
  'gpu x64': { name: 'tensorflow', machine: 'x86_64', sha256: '9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124', download: 0.6, space: 3 },
};
const besideThis = (name) => fileURLToPath(new URL(name, import.meta.url));
const HEADER = besideThis('tensorflow-addon.h');
const UNPACK = besideThis('unpack-libtensorflow.py');
const A_DAY_MS = 86_400_000;

const SELF_TEST = `
const addon = require(process.argv[1]);
const type = (name, value) => ({ name, type: addon.TF_ATTR_TYPE, value });
const flag = (name, value) => ({ name, type: addon.TF_ATTR_BOOL, value });
const device = { name: '_device', type: addon.TF_ATTR_STRING, value: '/device:CPU:0' };
const a = addon.createTensor([2, 2], addon.TF_FLOAT, new Float32Array([1, 2, 3, 4]));
const [{ id }] = addon.executeOp('MatMul', [type('T', addon.TF_FLOAT), flag('transpose_a', false), flag('transpose_b', false), device], [a, a], 1);
if (addon.tensorDataSync(id).join() !== '7,10,15,22') throw new Error('a product of matrices is wrong');
console.log('libtensorflow ' + addon.TF_Version + (addon.isUsingGpuDevice() ? ', with a CUDA device' : ', without a CUDA device'));
`;

class SetupError extends Error {}

/** Ends every command under way: when another one failed, or the user has had enough. */
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());

async function main(flags) {
  const unknown = flags.filter((flag) => flag !== '--gpu' && flag !== '--force');
  if (unknown.length > 0) throw new SetupError(`${unknown.join(' ')}: unknown; --gpu and --force are the flags.`);
  const kind = flags.includes('--gpu') ? 'gpu' : 'cpu';
  const wheel = process.platform === 'linux' ? WHEELS[`${kind} ${process.arch}`] : undefined;
  if (wheel === undefined) {
    throw new SetupError(`There is no ${kind} build for ${process.platform} ${process.arch}; there are ${Object.keys(WHEELS).join(', ')}, for Linux.`);
  }
  const engines = enginesFolder();
  const target = join(engines, `tensorflow-${TENSORFLOW}-${kind}`);
  const fingerprint = await fingerprintOf(fileURLToPath(import.meta.url), HEADER, UNPACK);
  if (!flags.includes('--force') && (await readFile(join(target, 'built'), 'utf8').catch(() => '')) === fingerprint) {
    console.log(`${target} is there already.`);
    return;
  }
  checkTools();
  await mkdir(engines, { recursive: true });
  await sweep(engines);
  await checkSpace(engines, wheel.space);
  console.log(`Building TensorFlow ${TENSORFLOW} for the ${kind} in ${engines} (about ${wheel.download} GB to download)`);
  const staging = await mkdtemp(join(engines, '.tensorflow-'));
  try {
    const version = await build(staging, wheel);
    await writeFile(join(staging, 'built'), fingerprint);
    // Temporary folders are their owner's alone; in an image another user reads this one.
    await chmod(staging, 0o755);
    await putInPlace(staging, target);
    console.log(`${target}: ${version}`);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** The same folder that shared/linalg/engines-folder.ts names. */
function enginesFolder() {
  const { TRIBUTARY_ENGINES, XDG_CACHE_HOME } = process.env;
  return TRIBUTARY_ENGINES || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'tributary', 'engines');
}

async function fingerprintOf(...files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(file));
  return hash.digest('hex');
}

function checkTools() {
  const works = (command, ...args) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;
  const missing = [];
  if (!works('python3', '--version')) missing.push(['python3', 'python3', 'python3']);
  if (!works('python3', '-m', 'pip', '--version')) missing.push(['pip of python3', 'python3-pip', 'python3-pip']);
  if (!works('g++', '--version')) missing.push(['g++', 'g++', 'gcc-c++']);
  if (missing.length === 0) return;
  const [names, debian, fedora] = [0, 1, 2].map((column) => missing.map((row) => row[column]));
  throw new SetupError(`${names.join(', ')}: not found. Install: apt-get install ${debian.join(' ')} (Debian, Ubuntu) or dnf install ${fedora.join(' ')} (Fedora, RHEL).`);
}

/** Removes what a killed setup left behind; one that may still run is younger than a day. */
async function sweep(engines) {
  for (const name of await readdir(engines)) {
    if (!name.startsWith('.tensorflow-')) continue;
    const { mtimeMs } = await stat(join(engines, name));
    if (Date.now() - mtimeMs > A_DAY_MS) await rm(join(engines, name), { recursive: true, force: true });
  }
}

async function checkSpace(folder, space) {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= space * 1e9) return;
  throw new SetupError(`${folder} has ${((bavail * bsize) / 1e9).toFixed(1)} GB free; ${space} GB are needed. TRIBUTARY_ENGINES names another folder.`);
}

/** Downloads, unpacks, compiles and tries in `staging`; answers what the addon says it is. */
async function build(staging, wheel) {
  const installed = join(staging, 'node_modules/@tensorflow/tfjs-node-gpu');
  const deps = join(installed, 'deps');
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  await together(run('npm', ['install', '--prefix', staging, ...quiet, ...PACKAGES], staging), fetchWheel(staging, wheel));
  await rename(join(staging, 'deps'), deps);
  for (const [link, file] of [
    ['libtensorflow.so.2', 'libtensorflow_cc.so.2'],
    ['libtensorflow.so', 'libtensorflow_cc.so.2'],
    ['libtensorflow_framework.so', 'libtensorflow_framework.so.2'],
  ]) {
    await symlink(file, join(deps, 'lib', link));
  }
  const addon = join(installed, 'lib/napi-v8/tfjs_binding.node');
  await mkdir(join(installed, 'lib/napi-v8'), { recursive: true });
  const include = ['-I', join(deps, 'include'), '-I', join(staging, 'node_modules/node-api-headers/include'), '-include', HEADER];
  const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
  const link = ['-L', join(deps, 'lib'), '-ltensorflow', '-ltensorflow_framework', '-Wl,-rpath,$ORIGIN/../../deps/lib'];
  await run('g++', ['-O2', '-fPIC', '-shared', '-std=c++17', '-DNAPI_VERSION=8', ...include, ...sources, '-o', addon, ...link], installed);
  await rm(join(deps, 'include'), { recursive: true });
  return (await run(process.execPath, ['-e', SELF_TEST, addon], staging)).trim();
}

/** Waits for all, also after one failed: nothing may write to a folder that is being removed. */
async function together(...parts) {
  const failures = [];
  const watched = parts.map((part) =>
    part.catch((error) => {
      failures.push(error);
      stop.abort();
    }),
  );
  await Promise.all(watched);
  if (failures.length > 0) throw failures[0];
}

async function fetchWheel(staging, { name, machine, sha256 }) {
  const folder = join(staging, 'wheel');
  await mkdir(folder);
  await writeFile(join(folder, 'wanted.txt'), `${name}==${TENSORFLOW} --hash=sha256:${sha256}\n`);
  const platform = ['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--platform', `manylinux_2_27_${machine}`];
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-cache-dir', '--progress-bar', 'off'];
  const pip = ['-m', 'pip', 'download', ...quiet, '--no-deps', '--only-binary=:all:', ...platform, '--dest', folder, '-r', 'wanted.txt'];
  await run('python3', pip, folder, { TMPDIR: folder });
  const file = (await readdir(folder)).find((one) => one.endsWith('.whl'));
  await run('python3', [UNPACK, join(folder, file), join(staging, 'deps')], folder);
  await rm(folder, { recursive: true });
}

/** What is there already gives way at once. A second setup that was quicker leaves a folder in the way, which is as good as ours. */
async function putInPlace(staging, target) {
  const old = `${staging}-old`;
  await rename(target, old).catch((error) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rename(staging, target).catch((error) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
  await rm(old, { recursive: true, force: true });
}

/** Answers what the command printed; throws with the end of its messages when it fails. */
function run(command, args, cwd, environment = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...environment }, stdio: ['ignore', 'pipe', 'pipe'], signal: stop.signal });
    let [output, messages] = ['', ''];
    child.stdout.on('data', (data) => { output += data; });
    child.stderr.on('data', (data) => { messages = (messages + data).slice(-4000); });
    // The error of a command that was ended comes before its end, and only then is it safe to remove what it wrote to.
    let reason;
    child.on('error', (error) => { reason = error.name === 'AbortError' ? new SetupError(`${command}: stopped`) : error; });
    child.on('close', (code, signal) => {
      if (reason !== undefined) reject(reason);
      else if (code === 0) resolve(output);
      else reject(new SetupError(`${command} ${args[0] === '-m' ? args.slice(0, 3).join(' ') : args[0]} failed (${signal ?? code}):\n${messages.trim()}`));
    });
  });
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error instanceof SetupError ? `setup:tensorflow: ${error.message}` : error);
  process.exitCode = 1;
});
