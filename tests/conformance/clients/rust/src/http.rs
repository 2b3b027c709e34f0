//! HTTP/1.1 for one request over a plain connection, so that no HTTP library has to be compiled. The harness's proxy answers with
//! `Content-Length`.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use openidconnect::http::{HeaderName, HeaderValue, Response};
use openidconnect::{HttpRequest, HttpResponse};

const DEADLINE: Duration = Duration::from_secs(15);

/// Sends a request, and reads the answer until the server closes the connection.
pub fn send(request: HttpRequest) -> io::Result<HttpResponse> {
    let uri = request.uri();
    let authority = uri.authority().ok_or_else(|| invalid("no host"))?;
    let mut stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80)))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n",
        request.method()
    );
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().map_err(invalid)?);
    }
    head += &format!("content-length: {}\r\n\r\n", request.body().len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(request.body())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> io::Result<HttpResponse> {
    let end = answer
        .windows(4)
        .position(|it| it == b"\r\n\r\n")
        .ok_or_else(|| invalid("no end of the headers"))?;
    let head = std::str::from_utf8(&answer[..end]).map_err(invalid)?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .ok_or_else(|| invalid("no status"))?
        .parse()
        .map_err(invalid)?;
    let mut response = Response::new(answer[end + 4..].to_vec());
    *response.status_mut() = status.try_into().map_err(invalid)?;
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().map_err(invalid)?;
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(value).map_err(invalid)?);
    }
    Ok(response)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
