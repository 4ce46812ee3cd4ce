/**
 * What the parts of the page share.
 *
 * @typedef {object} Context
 * @property {import('../api.js').HubApi} api
 * @property {import('../clock.js').HubClock} clock
 * @property {import('../state.js').Devices} devices
 * @property {import('../light.js').LightHistories} lights
 * @property {import('../i18n.js').Texts} texts
 * @property {() => import('../model.js').Link} link
 * @property {(event: import('../model.js').HubEvent) => void} learn
 *   Takes in what the hub answered, as if the stream had told it.
 * @property {(mac: string) => void} reveal
 *   Gives the card of this device the focus, once it is there.
 * @property {(mac: string) => void} redraw
 *   Has the card of this device drawn in the next frame.
 */

export {};
