//! A browser without script: it keeps cookies, follows redirects and submits the forms of the page that it shows.

use std::collections::BTreeMap;

use super::http::{Http, Request};
use super::{Answer, Contract, Endpoint, Person};

/// A browser that shows a page.
#[derive(Clone)]
pub struct Browser {
    http: Http,
    /// The path of the public URL, which a proxy removes.
    prefix: String,
    pub cookies: BTreeMap<String, String>,
    page: Option<Answer>,
    /// The path of the page, as the service sees it; or the address of the application to which the browser was sent.
    pub path: String,
}

impl Browser {
    /// A browser that has not been here before.
    pub fn new(http: &Http) -> Self {
        Self::below(http, "")
    }

    /// The same, for a service behind a proxy that removes `prefix` from each path.
    pub fn below(http: &Http, prefix: &str) -> Self {
        Self {
            http: http.clone(),
            prefix: prefix.to_owned(),
            cookies: BTreeMap::new(),
            page: None,
            path: "/".to_owned(),
        }
    }

    /// The same browser, with a service that was restarted.
    pub fn at(&self, http: &Http) -> Self {
        Self {
            http: http.clone(),
            ..self.clone()
        }
    }

    /// The page that it shows.
    #[track_caller]
    pub fn page(&self) -> &Answer {
        self.page.as_ref().expect("a page")
    }

    /// The text of the page, with its characters as a person sees them.
    pub fn html(&self) -> String {
        unescaped(&self.page().body)
    }

    /// Asserts that it shows a page with this status and these words.
    #[track_caller]
    pub fn shows(&self, status: u16, words: &str) {
        let page = self.page();
        assert_eq!(page.status, status, "{page}");
        let one_line = self.html().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(words), "{words:?} is not in {page}");
    }

    /// Opens a path of the service, as if the person typed it, and follows redirects.
    pub async fn open(&mut self, path: &str) {
        let request = self.request("GET", path);
        let answer = request.header("sec-fetch-site", "none").await;
        self.follow(path, answer).await;
    }

    /// Opens a path of the service, as a link or redirect of another site.
    pub async fn come_from_another_site(&mut self, path: &str) {
        let request = self.request("GET", path);
        let answer = request.header("sec-fetch-site", "cross-site").await;
        self.follow(path, answer).await;
    }

    /// Whether the page has a form that leads to `action`.
    pub fn asks(&self, action: &str) -> bool {
        let form = format!("<form method=\"post\" action=\"{}{action}\">", self.prefix);
        self.page
            .as_ref()
            .is_some_and(|page| page.body.contains(&form))
    }

    /// Submits the form of the page that leads to `action`, with these fields in addition to the hidden ones.
    pub async fn submit(&mut self, action: &str, fields: &[(&str, &str)]) {
        let hidden = self.form(action);
        let answer = self.post(action, &hidden, fields).await;
        self.follow(action, answer).await;
    }

    /// The hidden fields of the first form of the page that leads to `action`.
    #[track_caller]
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let page = self.page();
        let start = format!("<form method=\"post\" action=\"{}{action}\">", self.prefix);
        let form = page.body.split(start.as_str()).nth(1);
        let form = form.unwrap_or_else(|| panic!("no form to {action}: {page}"));
        let form = form.split("</form>").next().unwrap_or_default();
        form.split("<input type=\"hidden\" ")
            .skip(1)
            .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)))
            .collect()
    }

    /// Posts a form to `action` as a page of the service does.
    pub async fn post(
        &self,
        action: &str,
        hidden: &[(String, String)],
        fields: &[(&str, &str)],
    ) -> Answer {
        // A script may have filled in a hidden field.
        let hidden = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| fields.iter().all(|(filled, _)| filled != name));
        let fields: Vec<_> = hidden.chain(fields.iter().copied()).collect();
        let request = self.request("POST", action).form(&fields);
        request.header("sec-fetch-site", "same-origin").await
    }

    /// A request with the cookies.
    pub fn request(&self, method: &'static str, path: &str) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut request = self.http.send(Endpoint::at(method, path.to_owned().leak()));
        if !query.is_empty() {
            request = request.query(query);
        }
        let cookies = self.cookies.iter();
        let cookies: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if cookies.is_empty() {
            request
        } else {
            request.header("cookie", cookies.join("; "))
        }
    }

    /// Shows an answer, or where it leads.
    async fn follow(&mut self, path: &str, answer: Answer) {
        self.keep_cookies(&answer);
        let (mut path, mut answer) = (path.to_owned(), answer);
        for _ in 0..5 {
            if answer.status != 303 {
                break;
            }
            let location = answer.header("location").expect("a location").to_owned();
            // The browser leaves for an application, which is not running.
            if !location.starts_with('/') {
                self.path = location;
                self.page = Some(answer);
                return;
            }
            let below = location.strip_prefix(self.prefix.as_str());
            path = below.expect("a path of the service").to_owned();
            let request = self.request("GET", &path);
            answer = request.header("sec-fetch-site", "same-origin").await;
            self.keep_cookies(&answer);
        }
        let media_type = answer.header("content-type").unwrap_or_default();
        assert_eq!(media_type, "text/html; charset=utf-8", "{answer}");
        self.path = path;
        self.page = Some(answer);
    }

    fn keep_cookies(&mut self, answer: &Answer) {
        for name in ["authlog", "__Host-authlog"] {
            match answer.cookie(name) {
                Some(cookie) if cookie.value.is_empty() => {
                    self.cookies.remove(name);
                }
                Some(cookie) => {
                    self.cookies.insert(name.to_owned(), cookie.value);
                }
                None => {}
            }
        }
    }
}

/// A browser in which `person`, who is registered, has signed in.
pub async fn signed_in(http: &Http, person: &Person) -> Browser {
    let mut browser = Browser::new(http);
    browser.open("/sign-in").await;
    browser.submit("/sign-in", &credentials(person)).await;
    browser.shows(200, "Signed in as");
    browser
}

/// A registered person, and a browser in which they have signed in.
pub async fn registered(http: &Http, name: &str) -> (Person, Browser) {
    let person = Person::called(name);
    Contract::ApiAuth.registers(http, &person).await;
    let browser = signed_in(http, &person).await;
    (person, browser)
}

/// What a person types to sign in.
pub fn credentials(person: &Person) -> [(&str, &str); 2] {
    [
        ("username", &person.username),
        ("password", &person.password),
    ]
}

/// The text between the first `start` and the `end` after it.
#[track_caller]
pub fn between(text: &str, start: &str, end: &str) -> String {
    let rest = text
        .split(start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split(end).next().expect("a text").to_owned()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let value = tag.split(&format!("{name}=\"")).nth(1)?;
    Some(unescaped(value.split('"').next()?))
}

fn unescaped(html: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(html.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}
