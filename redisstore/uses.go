package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"linkrelay/relay"
)

// uses counts in memory what each secret verified, until it is written: often
// enough for people, and without a write for any single request.
type uses struct {
	mu     sync.Mutex
	counts map[string]*use // by secret id
	lost   int64           // requests that there was no room to count

	full chan struct{} // asks for a write before its time
	quit chan struct{}
	done chan struct{}
}

// use is what one secret verified since the last write.
type use struct {
	account string
	times   int64
	last    int64 // ms since 1970, by this replica's clock
}

const (
	usesEvery   = 10 * time.Second
	usesMax     = 16384 // secrets counted at a time
	usesPerRun  = 256   // secrets that one script adds up
	usesWriters = 16    // scripts at a time, which share round trips
)

func newUses() *uses {
	return &uses{counts: map[string]*use{}, full: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
}

// Used counts a request that the credential's i-th secret verified at that time.
// It never waits for Redis. Devices are not counted.
func (s *Store) Used(c *relay.Credential, i int, at time.Time) {
	if !c.Device() {
		s.uses.add(c.SecretIDs[i], use{c.Account, 1, at.UnixMilli()})
	}
}

func (u *uses) add(secret string, more use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if have := u.counts[secret]; have != nil {
		have.times += more.times
		have.last = max(have.last, more.last)
		return
	}
	if len(u.counts) == usesMax {
		u.lost += more.times
		return
	}
	u.counts[secret] = &more
	if len(u.counts) == usesMax {
		select {
		case u.full <- struct{}{}:
		default: // asked for already
		}
	}
}

// usesBatch is what one script adds up: some secrets of one account.
type usesBatch struct {
	account string
	secrets []string
	uses    []*use
}

// take empties the counts. lost is how many requests are in none of them.
func (u *uses) take() (batches []*usesBatch, lost int64) {
	u.mu.Lock()
	taken := u.counts
	u.counts = map[string]*use{}
	lost, u.lost = u.lost, 0
	u.mu.Unlock()
	open := map[string]*usesBatch{} // by account
	for secret, n := range taken {
		b := open[n.account]
		if b == nil || len(b.secrets) == usesPerRun {
			b = &usesBatch{account: n.account}
			open[n.account] = b
			batches = append(batches, b)
		}
		b.secrets, b.uses = append(b.secrets, secret), append(b.uses, n)
	}
	return batches, lost
}

func (u *uses) giveBack(b *usesBatch) {
	for i, secret := range b.secrets {
		u.add(secret, *b.uses[i])
	}
}

// writeUses writes what was counted from time to time, and at the end. After a
// failure nothing is written before its time.
func (s *Store) writeUses(every time.Duration) {
	defer close(s.uses.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for full := s.uses.full; ; {
		select {
		case <-tick.C:
		case <-full:
		case <-s.uses.quit:
			if !s.flushUses() {
				s.log.Warn("the last uses of secrets are not in the counts")
			}
			return
		}
		if full = s.uses.full; !s.flushUses() {
			full = nil
		}
	}
}

// close has what is counted written, and ends the writing.
func (u *uses) close() {
	close(u.quit)
	<-u.done
}

// flushUses writes what was counted. After the first failure the rest is not
// tried; what Redis did not take is counted on. A run whose reply was lost counts
// twice then, which for what these numbers are for is better than not at all.
func (s *Store) flushUses() bool {
	batches, lost := s.uses.take()
	if lost > 0 {
		s.log.Warn("uses of secrets were not counted: too many secrets are in use at a time", zap.Int64("requests", lost))
	}
	var failed atomic.Bool
	var writers sync.WaitGroup
	work := make(chan *usesBatch)
	for range min(usesWriters, len(batches)) {
		writers.Go(func() {
			for b := range work {
				if err := s.addUses(b, &failed); err != nil {
					s.log.Warn("uses of secrets could not be written now", zap.Error(err))
				}
			}
		})
	}
	for _, b := range batches {
		work <- b
	}
	close(work)
	writers.Wait()
	return !failed.Load()
}

// addUses writes a batch or gives it back; only the first failure is returned.
func (s *Store) addUses(b *usesBatch, failed *atomic.Bool) error {
	var err error
	if !failed.Load() {
		k := accountKeys(b.account)
		args := make([]any, 0, 3*len(b.secrets))
		for i, secret := range b.secrets {
			args = append(args, secret, b.uses[i].times, b.uses[i].last)
		}
		if _, err = s.run(context.Background(), usesScript, 1, []string{k.account(), k.uses()}, args...); err == nil {
			return nil
		}
	}
	s.uses.giveBack(b)
	if failed.Swap(true) {
		return nil
	}
	return err
}

// joinUses puts what was counted beside each secret of an inventory.
func joinUses(keys []relay.Key, used map[string]string) error {
	for _, k := range keys {
		for i := range k.Secrets {
			secret := &k.Secrets[i]
			text, ok := used[relay.SecretID(k.ID, secret.Generation)]
			if !ok {
				continue
			}
			var last int64
			if _, err := fmt.Sscanf(text, "%d %d", &secret.Uses, &last); err != nil {
				return errReply
			}
			when := at(last)
			secret.LastUsedAt = &when
		}
	}
	return nil
}
