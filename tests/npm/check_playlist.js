// Reads the playlists that are named with hls-parser in its strict mode; exits with 1 and the reason when one of them
// is not valid.
'use strict';
const fs = require('fs');
const HLS = require('hls-parser');

HLS.setOptions({strictMode: true});
for (const name of process.argv.slice(2)) {
  try {
    HLS.parse(fs.readFileSync(name, 'utf8'));
  } catch (error) {
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(1);
  }
}
