// Reads a playlist from standard input with hls-parser in its strict mode.  Prints what it found as JSON; exits
// with 1 and the reason when it is not a valid playlist.
'use strict';
const HLS = require('hls-parser');

HLS.setOptions({strictMode: true});
try {
  const playlist = HLS.parse(require('fs').readFileSync(0, 'utf8'));
  process.stdout.write(JSON.stringify(playlist, (key, value) => (key === 'source' ? undefined : value)) + '\n');
} catch (error) {
  process.stderr.write(error.message + '\n');
  process.exit(1);
}
