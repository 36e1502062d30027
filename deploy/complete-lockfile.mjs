/**
 * Adds to package-lock.json the optional packages of other platforms that a mirror without them made npm leave out. `npm ci` refuses a
 * lockfile that lacks them, on every platform. Run after changing dependencies: node deploy/complete-lockfile.mjs
 */
import { readFileSync, writeFileSync } from 'node:fs';

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const packages = lock.packages;
const SYSTEMS = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const PROCESSORS = { 'arm-eabi': 'arm', 'arm-gnueabihf': 'arm', 'arm-musleabihf': 'arm', arm64: 'arm64', ia32: 'ia32', ppc64: 'ppc64', riscv64: 'riscv64', s390x: 's390x', x64: 'x64' };

let added = 0;
for (const parent of Object.values(packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (key in packages || !/^\d/.test(version)) continue;
    const system = SYSTEMS.find((one) => name.includes(one));
    const processor = Object.keys(PROCESSORS).find((one) => name.includes(`-${one}`));
    if (system === undefined || processor === undefined) continue;
    packages[key] = {
      version,
      cpu: [PROCESSORS[processor]],
      ...(parent.dev ? { dev: true } : {}),
      ...(system === 'linux' ? { libc: [name.includes('musl') ? 'musl' : 'glibc'] } : {}),
      optional: true,
      os: [system],
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} optional packages of other platforms added`);
