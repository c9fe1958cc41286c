// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package natsextension

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stream is what JetStream keeps of the records that collectors publish.
type stream struct {
	cfg    *StreamConfig
	prefix string
	made   atomic.Bool
}

const streamTimeout = 5 * time.Second

// ensure makes the stream what the configuration says.
func (s *stream) ensure(c *nats.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), streamTimeout)
	defer cancel()
	js, err := jetstream.New(c)
	if err != nil {
		return err
	}
	cfg := jetstream.StreamConfig{
		Name: s.cfg.Name, Description: "records of Tailrace's live tail", Subjects: []string{s.prefix + "records.>"},
		MaxBytes: s.cfg.MaxBytes, MaxAge: s.cfg.MaxAge, Replicas: s.cfg.Replicas,
		Storage: jetstream.MemoryStorage, Discard: jetstream.DiscardOld,
		NoAck: true, // nobody waits for an answer to a record
	}
	if s.cfg.Storage == "file" {
		cfg.Storage = jetstream.FileStorage
	}
	if _, err = js.CreateOrUpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
	}
	s.made.Store(true)
	return nil
}

// replay hands on what the stream has of a subject since a time, up to what is the newest when it begins.
func (s *stream) replay(ctx context.Context, c *nats.Conn, subject string, since time.Time, do func(subject string, data []byte)) error {
	js, err := jetstream.New(c)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, s.cfg.Name, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{s.prefix + subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
	}
	if info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
		}
		do(strings.TrimPrefix(m.Subject(), s.prefix), m.Data())
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("stream %s: %w", s.cfg.Name, err)
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}
