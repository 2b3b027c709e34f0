//! A real browser goes through the flow, if it is installed: the policies of the pages let it on to the application.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::provider::Provider;
use crate::support::chromium::Chromium;
use crate::support::oauth::Registration;
use crate::support::{Settings, Store, on_both_stores};

on_both_stores!(a_browser_comes_back_to_the_application_also_from_a_window_of_its_own);

async fn a_browser_comes_back_to_the_application_also_from_a_window_of_its_own(store: Store) {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let app = application().await;
    let registration = Registration::confidential("app").answered_at("http://127.0.0.1/callback");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    op.app.redirect_uri = format!("{app}/callback");
    // Another host than that of the application, so that these are two sites.
    let service = format!("http://{}", op.service.address()).replace("127.0.0.1", "localhost");
    let begin = || format!("{service}{}", op.app.begins("openid").path());
    browser.open(&begin()).await;
    browser.fill_in("username", &op.person.username).await;
    browser.fill_in("password", &op.person.password).await;
    browser.press("Sign in").await;
    browser.shows("Allow app?").await;
    // A click that was meant for what was there before does not allow it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    browser.press("Allow").await;
    browser.shows("Welcome back").await;
    // From now on nothing is asked, so the window opens and closes. It can reach the page that opened it.
    browser.open(&format!("{app}/")).await;
    let script = format!(
        "document.querySelector('button').dataset.url = '{}'",
        begin()
    );
    browser.run(&script).await;
    browser.press("Sign in").await;
    browser.shows("The window has a code.").await;
    // A script of the application reads what is public.
    let script = format!("document.querySelector('p').dataset.service = '{service}'");
    browser.run(&script).await;
    browser.press("Discover").await;
    browser.shows("The endpoint is").await;
}

/// An application with two pages. Returns its origin.
async fn application() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = vec![0; 16 * 1024];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let is_callback = head[..read].starts_with(b"GET /callback?");
                let page = if is_callback {
                    CALLBACK_PAGE
                } else {
                    START_PAGE
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                    page.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    origin
}

const START_PAGE: &str = r"<!doctype html><p></p><button>Sign in</button> <button>Discover</button><script>
const [signIn, discover] = document.querySelectorAll('button'), p = document.querySelector('p');
signIn.onclick = () => window.open(signIn.dataset.url, 'sign-in', 'popup');
window.onmessage = event => p.textContent = event.data;
discover.onclick = async () => {
  const answer = await fetch(p.dataset.service + '/.well-known/openid-configuration');
  p.textContent = 'The endpoint is ' + (await answer.json()).token_endpoint;
};
</script>";

const CALLBACK_PAGE: &str = r"<!doctype html><p>Welcome back</p><script>
if (window.opener) {
  const code = new URLSearchParams(location.search).get('code');
  window.opener.postMessage(code ? 'The window has a code.' : 'There is no code.', '*');
  window.close();
}
</script>";
