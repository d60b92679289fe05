//! The wire format of protocol buffers, as far as ONNX needs it: a message is a list of fields, each a key
//! `number << 3 | type` and a value.
//!
//! # Source
//! `onnx.proto` of ONNX 1.12 (IR version 8): field numbers stand where the messages are written.

/// A message in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// An integer; a negative one as its two's complement.
    pub(super) fn int(&mut self, field: u32, value: i64) {
        self.key(field, 0);
        self.varint(value as u64);
    }

    /// A number of single precision.
    pub(super) fn float(&mut self, field: u32, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A string.
    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message within.
    pub(super) fn message(&mut self, field: u32, value: &Message) {
        self.bytes(field, &value.0);
    }

    /// Fields of another message of this kind.
    pub(super) fn join(&mut self, other: Message) {
        self.0.extend_from_slice(&other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Message;

    #[test]
    fn the_examples_of_the_encoding_guide() {
        let mut m = Message::default();
        m.int(1, 150);
        assert_eq!(m.clone().into_bytes(), [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.message(3, &m);
        assert_eq!(outer.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.text(2, "testing");
        assert_eq!(&text.into_bytes(), b"\x12\x07testing");
        let mut minus = Message::default();
        minus.int(1, -2);
        let ones = [0x08, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 0x01];
        assert_eq!(minus.into_bytes(), ones);
        let mut real = Message::default();
        real.float(2, 1.0);
        assert_eq!(real.into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
    }
}
