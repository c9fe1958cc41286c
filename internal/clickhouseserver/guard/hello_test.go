// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var someHello = hello{client: "ClickHouse client", major: 26, minor: 7, revision: 54488, database: "db", username: "tailrace", password: "p<&>'\"ß:x"}

func decodeHello(b []byte) (h hello, rest []byte, err error) {
	r := bufio.NewReader(bytes.NewReader(b))
	h, err = readHello(r)
	rest, _ = io.ReadAll(r)
	return h, rest, err
}

func TestHello(t *testing.T) {
	wire := someHello.append(nil)
	// The layout, byte by byte.
	assert.Equal(t, "\x00\x11ClickHouse client\x1a\x07\xd8\xa9\x03\x02db\x08tailrace\x0ap<&>'\"ß:x", string(wire))
	h, rest, err := decodeHello(append(wire, "more"...))
	require.NoError(t, err)
	assert.Equal(t, someHello, h)
	assert.Equal(t, "more", string(rest))

	_, _, err = decodeHello(nil)
	require.ErrorIs(t, err, io.EOF)
	for n := 1; n < len(wire); n++ {
		_, _, err := decodeHello(wire[:n])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut after %d", n)
	}
}

func TestNotAHello(t *testing.T) {
	for text, want := range map[string]error{
		"GET / HTTP/1.1\r\n\r\n":   errNotHello,
		"\x16\x03\x01\x02\x00\x01": errNotHello,
		"\x80\x00":                 errNotHello, // the number 0, but not in its shortest form
		"\x00\x81\x00":             errBadNumber,
		"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02": errBadNumber, // more than 64 bits
		"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01":     errTooLong,
		"\x00\xff\xff\x01": errTooLong,
	} {
		_, rest, err := decodeHello([]byte(text))
		require.ErrorIs(t, err, want, "%q", text)
		if errors.Is(want, errNotHello) {
			assert.Equal(t, text, string(rest), "the first byte is needed to tell HTTP from the rest")
		}
	}
	h := someHello
	h.password = strings.Repeat("x", maxHandshake)
	_, _, err := decodeHello(h.append(nil))
	assert.ErrorIs(t, err, errTooLong)
}

func TestAddendum(t *testing.T) {
	for revision, want := range map[uint64]string{
		54457: "",
		54458: "\x03key",
		54470: "\x03key\x0anotchunked\x0anotchunked",
		54471: "\x03key\x0anotchunked\x0anotchunked\x08",
		99999: "\x03key\x0anotchunked\x0anotchunked\x08",
	} {
		r := bufio.NewReader(strings.NewReader(want + "more"))
		a, err := readAddendum(r, revision)
		require.NoError(t, err)
		assert.Equal(t, want, string(a.append(nil, revision)))
		rest, _ := io.ReadAll(r)
		assert.Equal(t, "more", string(rest))
		for n := range len(want) {
			_, err := readAddendum(bufio.NewReader(strings.NewReader(want[:n])), revision)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
	_, err := readAddendum(bufio.NewReader(strings.NewReader("\x00\x07chunked\x0anotchunked\x08")), 54471)
	assert.ErrorIs(t, err, errBadFraming)
}

func TestException(t *testing.T) {
	assert.Equal(t, "\x02\x04\x02\x00\x00\x0dDB::Exception\x02no\x00\x00", string(exception(codeAuthenticationFailed, "no")))
}

// FuzzHello: no input makes the parser fail otherwise than by an error, read too much, or accept what it would
// write differently: ClickHouse has to see what was checked.
func FuzzHello(f *testing.F) {
	f.Add(someHello.append(nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01"))
	f.Add([]byte("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, rest, err := decodeHello(wire)
		if err != nil {
			return
		}
		if again := append(h.append(nil), rest...); !bytes.Equal(again, wire) {
			t.Fatalf("%q became %q", wire, again)
		}
	})
}

// FuzzAddendum is the same for the second packet.
func FuzzAddendum(f *testing.F) {
	f.Add([]byte("\x03key\x0anotchunked\x0anotchunked\x08"), uint64(54471))
	f.Fuzz(func(t *testing.T, wire []byte, revision uint64) {
		r := bufio.NewReader(bytes.NewReader(wire))
		a, err := readAddendum(r, revision)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		if again := append(a.append(nil, revision), rest...); !bytes.Equal(again, wire) {
			t.Fatalf("%q became %q", wire, again)
		}
	})
}
