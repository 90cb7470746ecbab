"""What keeps the secrets: the barrier and its keyring, shares and keepers of the root key, the life between sealed and
unsealed, and what enough people may change about it.

How far key material is overwritten: root key, unseal and recovery key, shares and the keys of the keyring live in
bytearrays that are zeroed when they are done with. Out of reach are the big integers of Shamir's arithmetic, the text
in which a client sent its share, answers on their way out, and the copies inside OpenSSL, which it clears itself when
the cipher is freed. Python may also have moved or swapped a copy: swap off or encrypted is the operator's part.
"""
