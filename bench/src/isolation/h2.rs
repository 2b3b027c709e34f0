//! The part of HTTP/2 (RFC 9113) that an abusive client needs: it sends frames and does not read answers.

/// The start of a connection: the preface, and settings with which the server may not send a byte of any body.
pub(super) fn preface_with_window_0() -> Vec<u8> {
    /// SETTINGS_INITIAL_WINDOW_SIZE.
    const WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &WINDOW);
    bytes
}

/// A complete request for `path`.
pub(super) fn get(bytes: &mut Vec<u8>, stream: u32, path: &str) {
    /// `:method: GET` by its place in the static table (RFC 7541, appendix A).
    const GET: u8 = 0x82;
    /// END_STREAM and END_HEADERS.
    const COMPLETE: u8 = 5;
    frame(bytes, 1, COMPLETE, stream, &head(GET, path));
}

/// A request with an endless body.
pub(super) fn post_without_end(bytes: &mut Vec<u8>, stream: u32, path: &str, body: &[u8]) {
    /// `:method: POST`.
    const POST: u8 = 0x83;
    /// END_HEADERS.
    const OPEN: u8 = 4;
    let mut fields = head(POST, path);
    // `content-type`, by its place in the static table, without being indexed.
    fields.extend([0x0f, 0x10]);
    text(&mut fields, "application/json");
    frame(bytes, 1, OPEN, stream, &fields);
    frame(bytes, 0, 0, stream, body);
}

fn head(method: u8, path: &str) -> Vec<u8> {
    /// `:scheme: http`, `:path` and `:authority` with values that are not indexed.
    const SCHEME: u8 = 0x86;
    const PATH: u8 = 0x04;
    const AUTHORITY: u8 = 0x01;
    let mut fields = vec![method, SCHEME, PATH];
    text(&mut fields, path);
    fields.push(AUTHORITY);
    text(&mut fields, "localhost");
    fields
}

/// A string of less than 127 bytes (RFC 7541 §5.2).
fn text(fields: &mut Vec<u8>, text: &str) {
    fields.push(text.len() as u8 & 0x7f);
    fields.extend(text.as_bytes());
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    bytes.extend(length);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
}
