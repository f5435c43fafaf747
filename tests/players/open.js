// node open.js URL [OPTIONS]: opens one of our pages in Debian's Chromium, or Firefox, with a camera that is none, and writes what
// the page shows as lines of JSON, each time that it changes. Lines on standard input are commands: goto URL, click SELECTOR,
// choose SELECTOR VALUE, run SCRIPT. Ends when its standard input does. OPTIONS: {"flags": [], "camera": false}, for Chromium, or
// {"firefox": true}.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const readline = require('readline');

const npm = path.join(__dirname, '..', 'npm', 'node_modules');
const [url, options = '{}'] = process.argv.slice(2);
const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const FLAGS = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--disable-background-media-suspend'];
const CAMERA = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
const FIREFOX = process.env.FIREFOX || '/usr/bin/firefox-esr';
// Cameras are for pages of HTTPS, but for these tests.
const PREFERENCES = {'media.navigator.permission.disabled': true, 'media.navigator.streams.fake': true, 'media.autoplay.default': 0,
  'media.devices.insecure.enabled': true, 'media.getusermedia.insecure.enabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false};
const LOOK_MS = 100;

const write = (o) => process.stdout.write(JSON.stringify(o) + '\n');

// What the pages have: figures by id, and how far the video is.
function look() {
  const out = {event: 'shown', url: location.pathname, state: document.body?.dataset.state, by: document.body?.dataset.protocol};
  out.text = document.getElementById('state')?.innerText;
  for (const id of ['protocol', 'latency', 'size', 'bitrate', 'codec-now', 'nodes', 'streams'])
    if (document.getElementById(id)) out[id] = document.getElementById(id).innerText;
  const video = document.getElementById('video');
  if (video) Object.assign(out, {played_s: Math.floor(video.currentTime), width: video.videoWidth});
  return out;
}

const commands = {
  goto: (page, [where]) => page.goto(where),
  click: (page, [what]) => page.click(what),
  choose: (page, [what, value]) => (page.selectOption || page.select).call(page, what, value),
  run: (page, words) => page.evaluate(words.join(' ')),
};

async function launch(folder, {firefox, flags = [], camera = true}) {
  if (!firefox) {
    const {chromium} = require(path.join(npm, 'playwright-core'));
    const browser = await chromium.launchPersistentContext(folder,
      {executablePath: CHROMIUM, headless: true, chromiumSandbox: false, args: [...FLAGS, ...(camera ? CAMERA : []), ...flags]});
    return [browser, browser.pages()[0] || await browser.newPage()];
  }
  const puppeteer = require(path.join(npm, 'puppeteer-core'));
  const browser = await puppeteer.launch({browser: 'firefox', executablePath: FIREFOX, headless: true, userDataDir: folder,
    extraPrefsFirefox: PREFERENCES});
  return [browser, await browser.newPage()];
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-browser-'));
  const [browser, page] = await launch(folder, JSON.parse(options));
  let over = false;
  try {
    page.on('pageerror', (e) => write({event: 'error', details: String(e)}));
    page.on('console', (m) => write({event: 'console', text: m.text()}));
    page.on('request', (r) => r.method() !== 'GET' && write({event: 'request', method: r.method(), url: r.url()}));
    page.on('crash', () => write({event: 'error', details: 'the page crashed'}));
    await page.goto(url);
    const input = readline.createInterface({input: process.stdin});
    input.on('close', () => (over = true));
    input.on('line', (line) => {
      const [word, ...rest] = line.split(' ');
      commands[word](page, rest).catch((e) => write({event: 'error', details: `${line}: ${e.message}`}));
    });
    for (let last = ''; !over; await new Promise((done) => setTimeout(done, LOOK_MS))) {
      const now = JSON.stringify(await page.evaluate(look).catch(() => null));
      if (now !== last && now !== 'null') process.stdout.write(now + '\n');
      last = now;
    }
  } finally {
    await browser.close();
    fs.rmSync(folder, {recursive: true, force: true});
  }
}

main().catch((e) => { write({event: 'error', details: String(e.stack)}); process.exit(1); });
