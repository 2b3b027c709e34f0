//! QR codes as SVG images within a page.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

use super::html::Escaped;

/// Modules of the bright border that readers need (ISO/IEC 18004, §6.3.8).
const BORDER: usize = 4;

/// The image of a QR code that says `text`. Without one, if the text is too long, the page has the secret in letters. The
/// image is black on white in every colour scheme, because readers expect that.
pub(super) fn svg(text: &str, label: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else {
        return String::new();
    };
    let (width, label) = (code.width(), Escaped(label));
    let size = width + 2 * BORDER;
    let mut path = String::new();
    for (row, modules) in code.to_colors().chunks(width).enumerate() {
        let mut column = 0;
        for run in modules.chunk_by(|one, other| one == other) {
            if run[0] == Color::Dark {
                let (x, y, length) = (BORDER + column, BORDER + row, run.len());
                let _ = write!(path, "M{x} {y}h{length}v1h-{length}z");
            }
            column += run.len();
        }
    }
    format!(
        r##"<svg class="qr" viewBox="0 0 {size} {size}" role="img" aria-label="{label}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{size}v{size}h-{size}z"/><path fill="#000" d="{path}"/></svg>"##
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_corners_within_a_border() {
        let image = svg("otpauth://totp/a:b?secret=AAAA", "a \"code\"");
        assert!(
            image.contains("aria-label=\"a &quot;code&quot;\""),
            "{image}"
        );
        // The corners are seven modules wide.
        let size: usize = image
            .split("0 0 ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        for (x, y) in [
            (BORDER, BORDER),
            (size - BORDER - 7, BORDER),
            (BORDER, size - BORDER - 7),
        ] {
            assert!(
                image.contains(&format!("M{x} {y}h7v1h-7z")),
                "{x} {y}: {image}"
            );
        }
    }

    #[test]
    fn a_text_that_is_too_long_has_no_code() {
        assert_eq!(svg(&"a".repeat(5000), ""), "");
    }
}
