package keys

// FastPassphraseRecipient is PassphraseRecipient with 2^10 of scrypt's work
// rather than 2^18, which takes a second.
func FastPassphraseRecipient(p []byte) (Recipient, error) { return passphraseRecipient(p, 10) }
