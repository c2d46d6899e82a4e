/// The version of this source tree, shown by every program that is built from it.
public enum SluiceVersion {
  public static let current = "0.1.0"
}
