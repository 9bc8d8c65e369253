//! Where a JPEG ends and what colours it is in, by walking its segments (ITU-T T.81, annex B).
//! Never decodes pixels, never allocates.

/// What the markers of one JPEG say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes up to and including the end marker; what follows is not part of the picture.
    pub(crate) end: usize,
    /// Colour components of the frame header: 1 grey, 3 colour, 4 print colours; 0 without a frame header.
    pub(crate) components: u8,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JpegFault {
    /// The bytes stop before the end marker.
    NoEndMarker,
    /// A segment does not begin with a marker.
    NotSegments,
}

/// `bytes` begin with a start-of-image marker.
pub(crate) fn extent(bytes: &[u8]) -> Result<Extent, JpegFault> {
    let mut at = 2;
    let mut components = 0;
    loop {
        let (marker, after) = next_marker(bytes, at)?;
        match marker {
            END_OF_IMAGE => return Ok(Extent { end: after, components }),
            0x01 | 0xd0..=0xd8 => at = after,
            _ => {
                let body = bytes.get(after..).unwrap_or_default();
                let &[high, low, ..] = body else { return Err(JpegFault::NoEndMarker) };
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < 2 {
                    return Err(JpegFault::NotSegments);
                }
                if is_frame_header(marker) {
                    components = body.get(7).copied().ok_or(JpegFault::NoEndMarker)?;
                }
                at = after + length;
                if marker == START_OF_SCAN {
                    at = end_of_scan(bytes, at)?;
                }
            }
        }
    }
}

/// Marker code and the offset behind it; fill bytes (0xff) may stand before the code.
fn next_marker(bytes: &[u8], at: usize) -> Result<(u8, usize), JpegFault> {
    if *bytes.get(at).ok_or(JpegFault::NoEndMarker)? != 0xff {
        return Err(JpegFault::NotSegments);
    }
    let rest = bytes.get(at + 1..).unwrap_or_default();
    let fill = rest.iter().take_while(|&&b| b == 0xff).count();
    let marker = *rest.get(fill).ok_or(JpegFault::NoEndMarker)?;
    Ok((marker, at + 2 + fill))
}

/// Offset of the marker that ends the entropy-coded data: not a stuffed zero, not a restart.
fn end_of_scan(bytes: &[u8], from: usize) -> Result<usize, JpegFault> {
    let data = bytes.get(from..).ok_or(JpegFault::NoEndMarker)?;
    data.windows(2)
        .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7 | 0xff))
        .map(|found| from + found)
        .ok_or(JpegFault::NoEndMarker)
}

/// SOF0 to SOF15 without the three codes in that range that mean something else.
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

#[cfg(test)]
mod tests {
    use super::*;

    const SOI: [u8; 2] = [0xff, 0xd8];
    const SOF: [u8; 13] = [0xff, 0xc0, 0, 11, 8, 0, 16, 0, 16, 3, 1, 0x11, 0];
    const SCAN: [u8; 10] = [0xff, 0xda, 0, 2, 7, 0xff, 0x00, 0xff, 0xd3, 9];

    fn joined(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn tail_after_the_end_marker_is_not_counted() {
        let picture = joined(&[&SOI, &SOF, &SCAN, &[0xff, 0xd9]]);
        let with_tail = joined(&[&picture, &[0xff, 0xd8, 1, 2, 3, 0xff, 0xd9]]);
        let expected = Extent { end: picture.len(), components: 3 };
        assert_eq!(extent(&picture), Ok(Extent { ..expected }));
        assert_eq!(extent(&with_tail), Ok(expected));
    }

    #[test]
    fn every_cut_is_noticed() {
        let picture = joined(&[&SOI, &SOF, &SCAN, &[0xff, 0xd9]]);
        for cut in 2..picture.len() {
            assert_eq!(extent(&picture[..cut]), Err(JpegFault::NoEndMarker), "cut at {cut}");
        }
    }

    #[test]
    fn rubbish_between_segments_is_refused() {
        assert_eq!(extent(&joined(&[&SOI, &[0x12, 0x34]])), Err(JpegFault::NotSegments));
        assert_eq!(extent(&joined(&[&SOI, &[0xff, 0xe0, 0, 1]])), Err(JpegFault::NotSegments));
    }
}
