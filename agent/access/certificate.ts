/** What a client certificate says of who shows it; the handshake has proved it. */
export interface CertificateIdentity {
  /** The subject's common name. */
  readonly commonName: string;
  /** Subject alternative names as they are: `DNS:garage, IP Address:192.168.2.80`. */
  readonly altNames: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  /** Issuer and serial number, as revocation lists have them. */
  readonly key: string;
}
