package main

import "strings"

// WordCount is the service.
type WordCount struct{}

// Text is what a client sends.
type Text struct{ Text string }

// Counts is what it gets: the words in the order in which they first occur. A map
// would not keep the order, and maps are what one leaves out of wire types.
type Counts struct{ Words []Count }

// Count is one word and how often it occurs.
type Count struct {
	Word string
	N    int
}

// Count counts the words of a text.
func (WordCount) Count(text Text, counts *Counts) error {
	at := map[string]int{}
	for word := range strings.FieldsSeq(text.Text) {
		i, ok := at[word]
		if !ok {
			i = len(counts.Words)
			at[word] = i
			counts.Words = append(counts.Words, Count{Word: word})
		}
		counts.Words[i].N++
	}
	return nil
}
