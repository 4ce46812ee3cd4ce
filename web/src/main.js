/** The page's beginning: makes the parts and ties them. */

import { HubApi } from './api.js';
import { HubClock } from './clock.js';
import { connect } from './connection.js';
import { Texts } from './i18n.js';
import { Devices } from './state.js';
import { Page } from './view/page.js';

const clock = new HubClock();
const page = new Page(/** @type {HTMLElement} */ (document.getElementById('app')), {
  api: new HubApi(clock),
  clock,
  devices: new Devices(),
  texts: new Texts().restore(),
});

connect({
  onEvents: (events) => page.take(events),
  onLink: (link) => page.setLink(link),
});
