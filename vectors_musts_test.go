package tidemark_test

// A must is a sentence of docs/format.md, or a part of one, that says what one
// MUST or MUST NOT do, and what shows that it is done.
type must struct {
	text             string   // with single spaces
	passes, violates []string // vectors
	tests            []string // "package directory.function": tests of what is not, or not only, a matter of bytes
	instead          string   // why there are no vectors
	gap              string   // why no test shows it either
}

const (
	definition = "it says what the word means, and what the vectors are"
	behaviour  = "not a matter of bytes: it is about what one does, and when"
)

var musts = []must{
	{text: "MUST and MUST NOT are promises", instead: definition},
	{text: "Each MUST has one test vector that passes and one that violates it", instead: definition},

	// 2. Encoding
	{
		text:     "Ids MUST ascend strictly",
		passes:   []string{"enrolment-extensions", "page-directory"},
		violates: []string{"enrolment-bad-extension-order", "enrolment-bad-extension-twice", "page-directory-bad-extension-order"},
	},
	{
		text:   "A decoder MUST refuse every byte string that encoding the decoded value would not give again",
		passes: []string{"secret", "enrolment", "rules", "mark-pin", "condemned", "feature", "index", "moved", "point", "page-directory"},
		violates: []string{
			"secret-bad-leading-zero", "secret-bad-upper-case", "secret-bad-more", "name-host-bad-upper-case", "tidemark.json-bad-spaces",
			"enrolment-bad-trailing", "enrolment-bad-cut-off", "enrolment-bad-reserved", "rules-bad-order", "rules-bad-twice",
			"condemned-bad-order", "condemned-bad-count", "feature-bad-needed", "point-bad-flags", "point-bad-set-large",
			"mark-read-back-bad-text", "page-directory-bad-trailing", "page-directory-bad-reserved", "page-directory-bad-rows-limit",
		},
	},
	{
		text:     "the reader MUST refuse that one (a node: EIO with \"this program is too old\"), and nothing else",
		passes:   []string{"enrolment-extensions", "point", "page-directory"},
		violates: []string{"point-bad-extension", "page-directory-bad-extension", "pack-data-bad-extension", "enrolment-bad-extension"},
		tests:    []string{"catalog.TestTooOld", "fusefs.TestTooNew"},
	},

	// 3. Objects and their names
	{
		text:    "A writer that tries again MUST send the same bytes or take another name",
		instead: behaviour, tests: []string{"capture.TestEveryWriteFails"},
	},
	{
		text:    "A reader MUST ignore names that this section does not describe",
		instead: behaviour, tests: []string{"catalog.TestParseObjectNameIgnores"},
	},
	{
		text:   "A reader that finds a larger `format` in the JSON object MUST say that it is too old",
		passes: []string{"tidemark.json"}, violates: []string{"tidemark.json-bad-newer"},
		tests: []string{"catalog.TestParseRepositoryRefuses"},
	},

	// 4. Keys
	{
		text:   "Readers use the public key in the enrolment and MUST NOT derive it",
		passes: []string{"point"}, violates: []string{"point-bad-derived-key"},
	},

	// 5. Names
	{
		text:     "A reader MUST check the tag, the padding and the length",
		passes:   []string{"name-host", "name-source", "name-31", "name-32", "name-64"},
		violates: []string{"name-host-bad-tag", "name-source-bad-host", "name-host-bad-padding", "name-host-bad-padded-too-far", "name-host-bad-long"},
	},

	// 6. Frames and records
	{
		text:   "A reader MUST check all of them against what it asked for",
		passes: []string{"feature", "enrolment", "pack-data"},
		violates: []string{
			"feature-bad-magic", "feature-bad-kind", "feature-bad-version", "feature-bad-reserved", "feature-bad-repository", "feature-bad-name",
			"enrolment-bad-magic", "enrolment-bad-kind", "enrolment-bad-version", "enrolment-bad-reserved", "enrolment-bad-repository", "enrolment-bad-name",
			"pack-data-bad-magic", "pack-data-bad-kind", "pack-data-bad-version", "pack-data-bad-reserved", "pack-data-bad-repository", "pack-data-bad-name",
		},
	},
	{
		text:   "Points, intents and a host's marks MUST have sealing 1; rules, enrolments and marks signed by the repository 2; index and moved 3",
		passes: []string{"point", "intent", "mark-pin", "rules", "enrolment", "mark-read-back", "index", "moved"},
		violates: []string{
			"point-bad-sealing", "intent-bad-sealing", "mark-pin-bad-sealing", "mark-pin-bad-signer", "rules-bad-sealing",
			"enrolment-bad-sealing", "mark-read-back-bad-sealing", "index-bad-sealing", "moved-bad-sealing",
		},
	},
	{
		text:   "What is not signed so MUST NOT be shown or counted",
		passes: []string{"point", "intent", "mark-pin", "mark-read-back", "rules", "condemned", "moved", "enrolment"},
		violates: []string{
			"point-bad-signature", "point-bad-repository-key", "intent-bad-signature", "intent-bad-signed-as-point", "mark-pin-bad-signature",
			"rules-bad-signature", "condemned-bad-signature", "moved-bad-signature", "enrolment-bad-signature",
		},
		tests: []string{"catalog.TestForgedPointIsNotShown", "fusefs.TestForgedPoint"},
	},

	// 7. Packs and blocks
	{
		text:   "Its run id and number MUST be those of the pack's name",
		passes: []string{"pack-data", "pack-tree"}, violates: []string{"pack-data-bad-run", "pack-data-bad-number"},
	},
	{
		text:     "A decoder MUST refuse a frame that does not give exactly the plain length",
		passes:   []string{"pack-data"},
		violates: []string{"pack-data-bad-longer", "pack-data-bad-shorter", "pack-data-bad-two-frames"},
	},
	{
		text:     "The sealed length is the plain length + 16 for codec 0 and MUST be less for codec 1",
		passes:   []string{"pack-data", "page-directory"},
		violates: []string{"pack-data-bad-not-shorter", "pack-data-bad-sealed-length", "page-directory-bad-block-sealed"},
	},
	{
		text:   "The first block MUST begin at h and each next one where the last ended",
		passes: []string{"pack-data", "index"}, violates: []string{"pack-data-bad-first-block", "pack-data-bad-last-block", "index-bad-gap"},
	},

	// 8. Chunks and contents
	{
		text:     "Zero extents MUST begin and end at multiples of 64 KiB and MUST NOT touch",
		passes:   []string{"page-list", "page-directory", "extents-mean-16k"},
		violates: []string{"page-list-bad-zero-length", "page-list-bad-zero-offset", "page-list-bad-zeros-touch"},
	},

	// 9. Pages
	{
		text:     "what a place leads to MUST be checked against the id in the identity",
		passes:   []string{"page-directory", "pack-data", "extents-mean-16k"},
		violates: []string{"page-directory-bad-id", "pack-data-bad-piece", "extents-bad-id"},
		tests:    []string{"fetch.TestWrongPlaces"},
	},
	{
		text:   "Runs and blocks MUST stand in the order of their first use, each once (a run has one id, a block one run, pack and ordinal), each used",
		passes: []string{"page-directory", "page-directory-interior", "moved"},
		violates: []string{
			"page-directory-bad-blocks-order", "page-directory-bad-runs-order", "page-directory-bad-run-twice", "page-directory-bad-block-twice",
			"page-directory-bad-run-unused", "page-directory-bad-block-unused", "moved-bad-first-use", "moved-bad-unused",
		},
	},
	{
		text:   "The block that the page lies in MUST NOT stand in the table",
		passes: []string{"page-directory", "page-root"}, violates: []string{"page-directory-bad-own-block", "page-directory-bad-own-block-in-a-point"},
	},
	{
		text:   "A page MUST NOT go on after a row that ends it",
		passes: []string{"page-ended-by-key", "cuts-leaf", "cuts-interior", "cuts-long", "cuts-list"}, violates: []string{"page-ended-by-key-bad-too-long"},
	},
	{
		text: "A reader MUST refuse a page whose kind, level or first key (where rows have keys) is not what the row that names it says, " +
			"whose keys do not ascend, or that reaches into the key of the next row",
		passes: []string{"page-as-its-row-says", "page-below-another", "page-list-as-its-node-says"},
		violates: []string{
			"page-list-bad-kind-below", "page-as-its-row-says-bad-level", "page-below-another-bad-first", "page-directory-bad-order",
			"page-directory-bad-twice", "page-directory-interior-bad-order", "page-usage-bad-order", "page-below-another-bad-next",
		},
	},

	// 10. Directory pages; 11. Lists and usage
	{
		text:     "A reader MUST refuse a page whose sums are not those that its parent's row says",
		passes:   []string{"page-as-its-row-says"},
		violates: []string{"page-as-its-row-says-bad-names", "page-as-its-row-says-bad-bytes"},
	},
	{
		text:     "bytes below u64, extents below u64. A reader MUST check these sums",
		passes:   []string{"page-list-as-its-node-says"},
		violates: []string{"page-list-as-its-node-says-bad-bytes", "page-list-as-its-node-says-bad-extents"},
	},
	{
		text:     "bytes below, u64 each. A reader MUST check these sums",
		passes:   []string{"page-usage-as-its-row-says"},
		violates: []string{"page-usage-as-its-row-says-bad-references", "page-usage-as-its-row-says-bad-packs"},
	},

	// 12. Points and intents
	{
		text:   "A reader MUST check the signature before it uses anything else",
		passes: []string{"point"}, violates: []string{"point-bad-signature-first"},
	},

	// 14. Order of writes; 15. Damage
	{
		text:    "Whatever an object names MUST be durable before the object is",
		instead: behaviour, tests: []string{"capture.TestEveryWriteFails"},
	},
	{
		text:    "A reference that the previous point did not have MUST NOT go to a condemned pack",
		instead: behaviour, gap: "nothing condemns packs yet",
	},
	{
		text:    "A writer MUST NOT commit on an intent older than 30 days",
		instead: behaviour, gap: "no test of capture sets the clock forward between intent and point",
	},
	{
		text:    "A reader that remembers the highest sequence of a source MUST say when it has gone down",
		instead: behaviour, gap: "no reader remembers it yet",
	},
}
