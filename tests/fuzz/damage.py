"""Files of arbitrary bytes: valid files that are changed at a few places, and bytes without any form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

_Change = Callable[[bytes, int, int, bytes], bytes]

# What readers give a meaning to.
_PIECES = (
    b'"', b"'", b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe",
    b"{", b"}", b"[", b"]", b":", b"\\", b"\\ud800", b"\xed\xa0\x80", b"null", b"true", b"NaN", b"-",
    b"1e999", b"9" * 25, b"0x", b"&a", b"*a", b"!!int", b"- ", b"? ", b"#N/A", b"2024-13-45",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80", b"[" * 200, b'{"a":' * 200, b"X" * 300, b"\xc3",
    b"\xe2\x80\xae",
)  # fmt: skip

_CHANGES: tuple[_Change, ...] = (
    lambda raw, i, j, piece: raw[:i],
    lambda raw, i, j, piece: raw[i:],
    lambda raw, i, j, piece: raw[:i] + piece + raw[i:],
    lambda raw, i, j, piece: raw[:i] + piece + raw[i + len(piece) :],
    lambda raw, i, j, piece: raw[: min(i, j)] + raw[max(i, j) :],
    lambda raw, i, j, piece: raw[: max(i, j)] + raw[min(i, j) :],
    lambda raw, i, j, piece: raw[:i] + raw[j : j + 40] + raw[i:],
    lambda raw, i, j, piece: raw[:i] + bytes([raw[i] ^ 1 << j % 8]) + raw[i + 1 :],
    lambda raw, i, j, piece: raw[:i] + bytes([j % 256]) + raw[i + 1 :],
    lambda raw, i, j, piece: raw.replace(raw[i : i + 1 + j % 3], piece),
)


@st.composite
def damaged(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """One of the `valid` files with one to four changes; seldom bytes without any form."""
    if draw(st.integers(0, 19)) == 19:
        return draw(st.binary(max_size=200))
    raw = draw(st.sampled_from(valid))
    # Headers and footers decide most.
    place = st.one_of(st.integers(0, 64), st.integers(-300, -1), st.integers(0, 1 << 20))
    for _ in range(draw(st.integers(1, 4))):
        if raw:
            i, j = draw(place) % len(raw), draw(place) % len(raw)
            raw = draw(st.sampled_from(_CHANGES))(raw, i, j, draw(st.sampled_from(_PIECES)))
    return raw[: 1 << 16]
