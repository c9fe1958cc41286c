// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxHandshake bounds the Hello, and the addendum, in bytes: nobody has logged in yet.
	maxHandshake = 16 << 10

	packetHello     = 0
	packetException = 2

	// Revisions of the protocol since which the addendum has a field.
	revisionAddendum         = 54458 // quota key
	revisionChunked          = 54470 // two strings: how to send, how to receive
	revisionParallelReplicas = 54471 // a number

	// notChunked is the only framing that this ClickHouse is configured for.
	notChunked = "notchunked"
)

var (
	errTooLong    = fmt.Errorf("a handshake of more than %d bytes", maxHandshake)
	errNotHello   = errors.New("the first packet is no Hello")
	errBadNumber  = errors.New("a number is not encoded in the shortest way, or too large")
	errBadFraming = errors.New("the client asks for the chunked protocol, which is not offered")
)

// hello is the first packet of a client:
//
//	varuint 0, string client name, varuint major, varuint minor, varuint protocol revision,
//	string database, string user, string password
//
// A string is a varuint length and as many bytes; a varuint has seven bits per byte, the lowest first.
type hello struct {
	client             string
	major, minor       uint64
	revision           uint64
	database           string
	username, password string
}

// addendum is what a client sends once it has the server's Hello; which fields it has depends on its revision.
type addendum struct {
	quotaKey         string
	send, receive    string
	parallelReplicas uint64
}

// decoder reads the fields of one packet. The first error stays.
type decoder struct {
	r    *bufio.Reader
	left int
	err  error
}

func newDecoder(r *bufio.Reader) *decoder { return &decoder{r: r, left: maxHandshake} }

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	if d.left == 0 {
		d.err = errTooLong
		return 0
	}
	d.left--
	b, err := d.r.ReadByte()
	d.fail(err)
	return b
}

func (d *decoder) fail(err error) {
	if err == nil || d.err != nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	d.err = err
}

// uvarint refuses what can be written shorter: two readers must not understand it differently.
func (d *decoder) uvarint() uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		b := d.byte()
		if d.err != nil {
			return 0
		}
		if shift == 63 && b > 1 || shift > 0 && b == 0 {
			d.err = errBadNumber
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
}

func (d *decoder) string() string {
	n := d.uvarint()
	if d.err != nil {
		return ""
	}
	if n > uint64(d.left) {
		d.err = errTooLong
		return ""
	}
	d.left -= int(n)
	text := make([]byte, n)
	_, err := io.ReadFull(d.r, text)
	d.fail(err)
	return string(text)
}

// readHello reads one packet and not a byte more. io.EOF: the client has sent nothing at all.
func readHello(r *bufio.Reader) (hello, error) {
	first, err := r.ReadByte()
	if err != nil {
		return hello{}, err
	}
	if first != packetHello {
		return hello{}, errors.Join(errNotHello, r.UnreadByte())
	}
	d := newDecoder(r)
	h := hello{client: d.string(), major: d.uvarint(), minor: d.uvarint(), revision: d.uvarint()}
	h.database, h.username, h.password = d.string(), d.string(), d.string()
	return h, d.err
}

func (h hello) append(b []byte) []byte {
	b = append(b, packetHello)
	b = appendString(b, h.client)
	b = binary.AppendUvarint(b, h.major)
	b = binary.AppendUvarint(b, h.minor)
	b = binary.AppendUvarint(b, h.revision)
	b = appendString(b, h.database)
	b = appendString(b, h.username)
	return appendString(b, h.password)
}

func readAddendum(r *bufio.Reader, revision uint64) (addendum, error) {
	var a addendum
	d := newDecoder(r)
	if revision >= revisionAddendum {
		a.quotaKey = d.string()
	}
	if revision >= revisionChunked {
		a.send, a.receive = d.string(), d.string()
		if d.err == nil && (a.send != notChunked || a.receive != notChunked) {
			d.err = errBadFraming
		}
	}
	if revision >= revisionParallelReplicas {
		a.parallelReplicas = d.uvarint()
	}
	return a, d.err
}

func (a addendum) append(b []byte, revision uint64) []byte {
	if revision >= revisionAddendum {
		b = appendString(b, a.quotaKey)
	}
	if revision >= revisionChunked {
		b = appendString(appendString(b, a.send), a.receive)
	}
	if revision >= revisionParallelReplicas {
		b = binary.AppendUvarint(b, a.parallelReplicas)
	}
	return b
}

// ClickHouse's numbers of the errors that the guard answers with.
const (
	codeUnknownDatabase      = 81
	codeNetworkError         = 210
	codeAuthenticationFailed = 516
)

// exception is the packet that ClickHouse would refuse with; the two empty fields are the stack trace and "no
// nested exception follows".
func exception(code int32, message string) []byte {
	b := []byte{packetException}
	b = binary.LittleEndian.AppendUint32(b, uint32(code))
	b = appendString(b, "DB::Exception")
	b = appendString(b, message)
	b = appendString(b, "")
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
