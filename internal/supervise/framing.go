// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

// Framer cuts a stream into lines as the output of servers is cut, for programs that forward the output of others. Not
// safe for concurrent use.
type Framer struct{ framer framer }

// NewFramer returns a Framer. emit gets each line without its end, or each part of a line of more than limit bytes: part
// counts from 1 then, and last marks the last one. text is only valid during the call.
func NewFramer(limit int, emit func(text []byte, part int, last bool)) *Framer {
	return &Framer{framer{max: max(limit, minLineBytes), emit: func(f frame) { emit(f.text, f.part, f.last) }}}
}

// Write takes the next chunk. It does not keep it.
func (f *Framer) Write(chunk []byte) { f.framer.write(chunk) }

// Close hands out what stands behind the last line end.
func (f *Framer) Close() { f.framer.close() }
