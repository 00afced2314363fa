package engine

import (
	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// crash throws away all that is not on disk and takes the jobs up again.
func (w *world) crash(when string) {
	w.log("# crash %s", when)
	w.zombies = append(w.zombies, w.flights...)
	w.flights, w.background, w.workers, w.queue = nil, nil, nil, nil
	w.epoch++
	w.core = newCore(w.epoch)
	w.core.speculate, w.core.smallSlots = w.twins, w.small
	w.check.restart()
	for _, j := range w.jobs {
		if j.state == "" && j.planned {
			w.resume(j)
		} else if j.state == "" && w.check.submitted[j.id] {
			j.planned = false
			w.queue = append(w.queue, evAdd{job: j.id, share: j.share})
		}
	}
}

// resume is loop.resume.
func (w *world) resume(j *simJob) {
	if j.planned = j.record.planned; !j.planned {
		w.queue = append(w.queue, evAdd{job: j.id, share: j.share})
		return
	}
	ev := evPlanned{job: j.id, resumed: true, cut: j.record.cut}
	runs := make([]uint64, len(j.contents))
	j.maps, j.reduces = make([]simTask, len(j.contents)), nil
	for i := range j.maps {
		t := w.records[taskID{j.id, plan.Map, i}]
		p := planned{failures: t.failures, tiny: j.tiny && i%2 == 0}
		if t.state == simDone && w.runs[t.run] != nil {
			p.done, p.cached, p.key, p.run, p.out = true, t.cached, t.key, t.run, t.out
		} else if t.state == simDone {
			t.state = simLost
		}
		ev.cut = ev.cut && p.done
		t.expect, runs[i] = mr.Digest{}, t.run
		j.maps[i] = t
		ev.maps = append(ev.maps, p)
	}
	if ev.cut {
		lost, reduces, outs := w.shuffle(j, runs)
		if ev.cut = len(lost) == 0; ev.cut {
			j.reduces, j.cutOuts = reduces, outs
		}
	}
	for i := range j.reduces {
		t := w.records[taskID{j.id, plan.Reduce, i}]
		p := planned{key: j.reduces[i].key, failures: t.failures}
		if t.state == simDone && t.key == p.key {
			p.done, p.cached, p.run, p.out = true, t.cached, t.run, t.out
		} else if t.state == simDone {
			t.state = simLost
		}
		t.key, t.keep, t.keepAs = p.key, j.reduces[i].keep, j.reduces[i].keepAs
		j.reduces[i] = t
		ev.reduces = append(ev.reduces, p)
	}
	w.queue = append(w.queue, evAdd{job: j.id, share: j.share, resumed: true}, ev)
}
