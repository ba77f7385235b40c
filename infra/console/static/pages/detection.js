export const title = "Detection";

export function mount(root, ctx) {
}
