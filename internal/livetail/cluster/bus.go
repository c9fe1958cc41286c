// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"time"
)

// Bus carries messages between collectors. It is safe for concurrent use.
type Bus interface {
	// Join makes a connection for one live tail. When there is none yet, it goes on trying.
	Join(r Receiver) (Link, error)
}

// Receiver gets what comes by a Link.
type Receiver interface {
	// Message is called by one goroutine at a time. data is the receiver's.
	Message(subject string, data []byte)
	// Connected and Disconnected tell of changes; they do not wait. err is why, and may be nil.
	Connected()
	Disconnected(err error)
}

// Link is a connection to a Bus. Subjects are tokens joined by dots; a * stands for one token of any kind. Messages of one link come in the
// order in which they were published, or not at all. Safe for concurrent use.
type Link interface {
	// Publish hands a message over. It does not wait for those who get it, and fails when there is no connection.
	Publish(subject string, data []byte) error
	// Subscribe and Unsubscribe hold over reconnections.
	Subscribe(subject string) error
	Unsubscribe(subject string) error
	// Flush returns when the bus knows of everything that was published and subscribed.
	Flush(ctx context.Context) error
	// MaxPayload is the size of a message that the bus takes.
	MaxPayload() int
	// Keeps reports whether the bus keeps what is published below "records." for Replay.
	Keeps() bool
	// Replay returns what was published to a subject since a time, and ends with the newest.
	Replay(ctx context.Context, subject string, since time.Time, do func(subject string, data []byte)) error
	// Close ends the connection after it has sent what it has. No method of the Receiver is called any more when it has returned.
	Close()
}
