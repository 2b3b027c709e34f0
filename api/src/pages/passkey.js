// Passkeys on the hosted pages, which browsers give to scripts only. A form that is submitted by a button with `data-options`
// or `data-options-at` takes the answer of a passkey to the service. The options are in the attribute, or are fetched from the
// address in it: a challenge lives for five minutes, and a page may stay open for longer.

/** After how many milliseconds the challenge of an open page is replaced. */
const FRESH = 4 * 60 * 1000;

/** How many milliseconds there are between two looks at the clock, which goes on while the device sleeps. */
const LOOK = 10 * 1000;

const WORDS = {
  InvalidStateError: "This device has a passkey of your account already.",
  NotAllowedError: "No passkey was used. You cancelled, it took too long, or this device has none for this service.",
  NotSupportedError: "This browser or device cannot make such a passkey.",
  SecurityError: "Passkeys work at the address of this service only. Please check the address of this page.",
};
const OTHERWISE = "This did not work. Please open the page again and try once more.";
const NONE = "This browser has no passkeys here. They need a current browser, and an address that begins with https.";

/** Ends the request to the browser, which answers one at a time. */
let asking = new AbortController();

const buttons = [...document.querySelectorAll("[data-options], [data-options-at]")];
if (window.PublicKeyCredential) {
  buttons.forEach(start);
} else if (buttons.some((button) => button.dataset.options)) {
  say(NONE);
}

function start(button) {
  button.hidden = false;
  button.form.addEventListener("submit", (event) => {
    if (event.submitter === button) {
      event.preventDefault();
      press(button);
    }
  });
  offer(button);
}

async function press(button) {
  button.disabled = true;
  try {
    await use(button.form, await optionsOf(button));
  } catch (error) {
    button.disabled = false;
    say(WORDS[error.name] ?? OTHERWISE);
    offer(button);
  }
}

/** Offers passkeys in the field for the name, for as long as the page is open. */
async function offer(button) {
  const canOffer = await window.PublicKeyCredential.isConditionalMediationAvailable?.();
  let isOver = !canOffer || document.querySelector('[autocomplete~="webauthn"]') === null;
  while (!isOver) {
    await visible();
    const options = await optionsOf(button).catch(() => undefined);
    // Once the button is pressed, the browser is asked for that. If it fails, the offer begins again.
    if (button.disabled) return;
    if (options === undefined) {
      await new Promise((resolve) => setTimeout(resolve, LOOK));
      continue;
    }
    isOver = true;
    const expiry = Date.now() + FRESH;
    const looking = setInterval(() => {
      if (Date.now() < expiry) return;
      isOver = false;
      asking.abort();
    }, LOOK);
    await use(button.form, options, { mediation: "conditional" }).catch(() => undefined);
    clearInterval(looking);
  }
}

async function visible() {
  while (document.hidden) {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

async function optionsOf(button) {
  const { options, optionsAt } = button.dataset;
  if (options) return JSON.parse(options).publicKey;
  // Of the form, the service needs only the proof that it made it.
  const body = new URLSearchParams({ form_token: button.form.elements.form_token?.value ?? "" });
  const answer = await fetch(optionsAt, { method: "POST", body });
  return (await answer.json()).publicKey;
}

/** Asks the browser for a passkey, and submits the form with its answer. */
async function use(form, options, how) {
  asking.abort();
  asking = new AbortController();
  const request = { publicKey: forBrowser(options), signal: asking.signal, ...how };
  const container = navigator.credentials;
  const credential = await (options.user ? container.create(request) : container.get(request));
  const fields = form.elements;
  if (fields.challenge) fields.challenge.value = options.challenge;
  fields.credential.value = JSON.stringify(forService(credential));
  form.submit();
}

/** The options as browsers take them (WebAuthn Level 3 §5.4 and §5.5). */
function forBrowser(options) {
  const descriptors = (list) => list?.map((it) => ({ ...it, id: bytes(it.id) }));
  return {
    ...options,
    challenge: bytes(options.challenge),
    user: options.user && { ...options.user, id: bytes(options.user.id) },
    allowCredentials: descriptors(options.allowCredentials),
    excludeCredentials: descriptors(options.excludeCredentials),
  };
}

/** The answer as the service takes it (§5.1). It is written here, because some password managers break `toJSON`. */
function forService(credential) {
  const { id, rawId, type, response } = credential;
  const sent = { transports: response.getTransports?.() };
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) sent[name] = base64url(response[name]);
  }
  return {
    id,
    rawId: base64url(rawId),
    type,
    response: sent,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

function bytes(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (it) => it.charCodeAt(0));
}

function base64url(buffer) {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Says what is wrong, in place of what the service said. */
function say(words) {
  document.querySelector("[role=alert], [role=status]")?.remove();
  const alert = document.createElement("p");
  alert.id = "trouble";
  alert.setAttribute("role", "alert");
  alert.textContent = words;
  document.querySelector("h1").after(alert);
  alert.scrollIntoView({ block: "nearest" });
}
