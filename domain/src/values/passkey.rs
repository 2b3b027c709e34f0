//! What a passkey is known by (WebAuthn Level 3).

use serde::{Deserialize, Serialize};

/// How a client can reach the authenticator of a passkey (WebAuthn §5.8.4). Clients use it as a hint. A transport that this
/// program does not know is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasskeyTransport {
    /// Over USB.
    Usb,
    /// Over NFC.
    Nfc,
    /// Over Bluetooth Low Energy.
    Ble,
    /// Over a smart card with contacts.
    SmartCard,
    /// By another device, such as a telephone that scans a QR code.
    Hybrid,
    /// The authenticator is part of the client device.
    Internal,
}

impl PasskeyTransport {
    const ALL: [Self; 6] = [
        Self::Usb,
        Self::Nfc,
        Self::Ble,
        Self::SmartCard,
        Self::Hybrid,
        Self::Internal,
    ];

    /// The name in WebAuthn.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usb => "usb",
            Self::Nfc => "nfc",
            Self::Ble => "ble",
            Self::SmartCard => "smart-card",
            Self::Hybrid => "hybrid",
            Self::Internal => "internal",
        }
    }

    /// The transport with this name in WebAuthn.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Those of the named transports that are known, each once.
    pub fn known<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let named: Vec<_> = names.into_iter().filter_map(Self::from_name).collect();
        let mut known = Self::ALL.to_vec();
        known.retain(|it| named.contains(it));
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_transports_are_kept_once_and_stored_under_their_names() {
        let known = PasskeyTransport::known(["internal", "carrier-pigeon", "usb", "usb"]);
        assert_eq!(known, [PasskeyTransport::Usb, PasskeyTransport::Internal]);
        for transport in PasskeyTransport::ALL {
            assert_eq!(serde_json::to_value(transport).unwrap(), transport.as_str());
        }
    }
}
