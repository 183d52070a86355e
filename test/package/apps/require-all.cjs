// Every subpath, required and imported: the same names.
const assert = require('node:assert/strict');
const { name, exports: subpaths } = require('megallm-middleware/package.json');

async function main() {
  const codes = Object.keys(subpaths).filter((subpath) => subpath !== './package.json');
  for (const subpath of codes) {
    const required = require(name + subpath.slice(1));
    const imported = await import(name + subpath.slice(1));
    assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort(), subpath);
    assert.notEqual(Object.values(required)[0], Object.values(imported)[0], `${subpath} is there twice`);
  }
  console.log(`${codes.length} subpaths`);
}

main();
