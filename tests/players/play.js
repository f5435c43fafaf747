// node play.js KIND URL [OPTIONS]: plays URL in Debian's Chromium with hls.js, shaka, Chromium's own HLS (native) or WHEP, or
// publishes there (whip), and writes what happens as lines of JSON; ends when its standard input does. OPTIONS are the player's settings, as JSON;
// camera: a file (y4m) that the fake camera shows.
'use strict';
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');

const npm = path.join(__dirname, '..', 'npm', 'node_modules');
const {chromium} = require(path.join(npm, 'playwright-core'));
const [kind, url, options = '{}'] = process.argv.slice(2);
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--disable-background-media-suspend',
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--allow-loopback-in-peer-connection'];
const SCRIPTS = {'hls.js': 'hls.js/dist/hls.min.js', shaka: 'shaka-player/dist/shaka-player.compiled.js'};

const write = (o) => process.stdout.write(JSON.stringify(o) + '\n');

function serve(request, response) {
  const name = request.url.split('?')[0];
  const files = {'/': path.join(__dirname, 'page.html'), '/page.js': path.join(__dirname, 'page.js'),
    '/rtc.js': path.join(__dirname, 'rtc.js'), '/beeps.js': path.join(__dirname, 'beeps.js'),
    '/player.js': SCRIPTS[kind] && path.join(npm, SCRIPTS[kind])};
  if (!(name in files)) return response.writeHead(204).end();
  response.setHeader('Content-Type', name === '/' ? 'text/html' : 'text/javascript');
  response.end(files[name] ? fs.readFileSync(files[name]) : '');
}

async function main() {
  const server = http.createServer(serve);
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-chromium-'));
  const over = new Promise((done) => process.stdin.on('end', done).resume());
  const {camera} = JSON.parse(options);
  const args = camera ? [...FLAGS, `--use-file-for-fake-video-capture=${camera}`] : FLAGS;
  const browser = await chromium.launchPersistentContext(folder, {executablePath: CHROMIUM, headless: true, chromiumSandbox: false, args});
  try {
    const page = browser.pages()[0] || await browser.newPage();
    await page.exposeFunction('tell', write);
    page.on('pageerror', (e) => write({event: 'error', type: 'page', details: String(e), fatal: true}));
    page.on('console', (m) => write({event: 'console', text: m.text()}));
    page.on('crash', () => write({event: 'error', type: 'crash', details: 'the page crashed', fatal: true}));
    const words = new URLSearchParams({kind, url, options});
    await page.goto(`http://127.0.0.1:${server.address().port}/?${words}`);
    await over;
    await page.evaluate(() => window.pc && window.pc.close());
  } finally {
    await browser.close();
    server.close();
    fs.rmSync(folder, {recursive: true, force: true});
  }
}

main().catch((e) => { write({event: 'error', type: 'driver', details: String(e.stack), fatal: true}); process.exit(1); });
